"""What became of an attempt, as a closed set of values."""

import json
from dataclasses import dataclass

from emulator.core.errors import ErrorCode
from emulator.core.request import Reply

HANDLED = "HandledInvocationError"
UNHANDLED = "UnhandledInvocationError"
"""Values of ``X-Fc-Error-Type``. Source: API 2016-08-15, InvokeFunction."""

AGENT_HANDLED_STATUS = 417
"""An instance answers this for an error that the function reported itself. Source: Node agent."""


@dataclass(frozen=True, slots=True)
class Returned:
    """The function gave a result."""

    body: bytes
    log: bytes = b""


@dataclass(frozen=True, slots=True)
class FunctionFailed:
    """The function raised, exited, ran out of time or could not be loaded."""

    error_type: str
    body: bytes
    log: bytes = b""


@dataclass(frozen=True, slots=True)
class Throttled:
    """No instance was free within the time that the function may take."""


@dataclass(frozen=True, slots=True)
class SystemFailed:
    """The emulator or the machine could not run it; the function's code had no part in it.

    ``unavailable``: what runs functions is away, and the same call may do well later.
    """

    reason: str
    unavailable: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """It cannot be run as it stands: gone, or not emulated."""

    code: ErrorCode
    message: str


Outcome = Returned | FunctionFailed | Throttled | SystemFailed | Refused


def classify(reply: Reply) -> Returned | FunctionFailed:
    """Tell a result from a failure. Source: runtime contract, statuses of the push protocol."""
    if reply.status == 200:
        return Returned(reply.body, reply.log)
    error_type = HANDLED if reply.status == AGENT_HANDLED_STATUS else UNHANDLED
    return FunctionFailed(error_type, reply.body, reply.log)


def exited(
    duration_ms: float, peak_mb: float | None, log: bytes, *, memory_limit_mb: int | None = None
) -> FunctionFailed:
    """Describe an instance that ended before it answered; with the limit if it met that.

    Source: FC help, "Process exited unexpectedly before completing request". Assumed: what is said
    of memory; the help names it as a cause of that message and gives no text of its own.
    """
    facts = f"duration: {round(duration_ms)}ms"
    if peak_mb is not None:
        facts += f", maxMemoryUsage: {round(peak_mb)}MB"
    cause = "" if memory_limit_mb is None else f": out of memory, the limit is {memory_limit_mb}MB"
    return _failure(f"Process exited unexpectedly before completing request ({facts}){cause}", log)


def timed_out(timeout_s: float, peak_mb: float | None, log: bytes) -> FunctionFailed:
    """Describe a function that ran out of time. Source: a public issue's log, its text."""
    facts = "" if peak_mb is None else f" (maxMemoryUsage: {peak_mb:.2f}MB)"
    return _failure(f"Function timed out after {timeout_s:g} seconds{facts}", log)


def _failure(message: str, log: bytes) -> FunctionFailed:
    body = json.dumps({"errorMessage": message}, separators=(",", ":")).encode()
    return FunctionFailed(UNHANDLED, body, log)


WORDS: dict[type[Outcome], str] = {
    Returned: "returned",
    FunctionFailed: "function-error",
    Throttled: "throttled",
    SystemFailed: "system",
    Refused: "refused",
}
"""The outcomes in the words of the admin API."""
