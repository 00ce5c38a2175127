"""Request headers of an invocation, read and checked."""

import re
from collections.abc import ItemsView, Mapping
from typing import Protocol

from emulator.core.errors import ApiError, invalid, not_implemented
from emulator.core.limits import MAX_ASYNC_DELAY_S
from emulator.core.request import InvocationType, InvokeOptions, LogType

TYPE = "X-Fc-Invocation-Type"
LOG_TYPE = "X-Fc-Log-Type"
DELAY = "X-Fc-Async-Delay"
TASK_ENABLE = "X-Fc-Stateful-Async-Invocation-Enable"
TASK_ID = "X-Fc-Stateful-Async-Invocation-Id"
TRACE_ID = "X-Fc-Trace-Id"
SPAN = "X-Fc-Tracing-Opentracing-Span-Context"
BAGGAGE_PREFIX = "x-fc-tracing-opentracing-span-context-baggage-"

_DELAY = re.compile(r"[0-9]+")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Headers(Protocol):
    """Request headers: names in any case, a name may be repeated."""

    def getall(self, key: str, default: list[str], /) -> list[str]:
        """Give every value of a name, or the default."""
        ...

    def get(self, key: str, default: str, /) -> str:
        """Give the first value of a name, or the default."""
        ...

    def items(self) -> ItemsView[str, str]:
        """Give every name with its value."""
        ...

    def __contains__(self, key: object, /) -> bool: ...


def read_invoke_options(headers: Headers) -> InvokeOptions:
    """Read what a caller asks of an invocation.

    Raises:
        ApiError: InvalidArgument, naming the header; NotImplemented for task mode.
    """
    kind = _invocation_type(headers)
    log_type = _log_type(headers, kind)
    ignored: tuple[str, ...] = ()
    delay_s = 0
    if kind is InvocationType.ASYNC:
        if _one(headers, TASK_ENABLE) == "true":
            raise not_implemented(f"task mode ({TASK_ENABLE}: true)")
        delay_s = _delay(headers)
    elif DELAY in headers:
        ignored = (f"{DELAY} has no effect without {TYPE}: Async",)
    return InvokeOptions(
        invocation_type=kind,
        log_type=log_type,
        delay_s=delay_s,
        span_context=headers.get(SPAN, ""),
        span_baggages=_baggages(headers),
        ignored=ignored,
    )


def read_request_id(headers: Headers) -> str | None:
    """Give the caller's trace id where it can serve as request id: a UUID of 36 characters.

    Assumed: other shapes are ignored, since every request id of ours has that one.
    """
    text = headers.get(TRACE_ID, "").lower()
    return text if _UUID.fullmatch(text) else None


def _invocation_type(headers: Headers) -> InvocationType:
    text = _one(headers, TYPE)
    if text is None:
        return InvocationType.SYNC
    try:
        return InvocationType(text)
    except ValueError:
        raise _refused("InvocationType", "Sync | Async", text) from None


def _log_type(headers: Headers, kind: InvocationType) -> LogType:
    text = _one(headers, LOG_TYPE)
    if text is None:
        return LogType.NONE
    try:
        log_type = LogType(text)
    except ValueError:
        raise _refused("LogType", "Tail | None", text) from None
    if log_type is LogType.TAIL and kind is InvocationType.ASYNC:
        raise _refused("LogType", "None", text)
    return log_type


def _delay(headers: Headers) -> int:
    """Read the delay. Source: async contract, "X-Fc-Async-Delay in detail".

    Assumed: what is refused and with which code; the documentation gives the range only.
    """
    values = headers.getall(DELAY, [])
    if not values:
        return 0
    text = values[0].strip(" \t")
    if len(values) > 1:
        raise invalid(f"{DELAY} is given {len(values)} times; give it once")
    # A value of more digits than the limit has cannot fit, and int() refuses some lengths.
    significant = text.lstrip("0")
    if not _DELAY.fullmatch(text) or len(significant) > 4:
        raise _refused(DELAY, f"an integer from 0 to {MAX_ASYNC_DELAY_S} in seconds", text)
    if int(text[-5:]) > MAX_ASYNC_DELAY_S:
        raise _refused(DELAY, f"an integer from 0 to {MAX_ASYNC_DELAY_S} in seconds", text)
    return int(text[-5:])


def _one(headers: Headers, name: str) -> str | None:
    """Give a header that may be repeated only with the same value; None when absent."""
    values = set(headers.getall(name, []))
    if len(values) > 1:
        raise invalid(f"{name} is given with different values; give it once")
    return values.pop() if values else None


def _baggages(headers: Headers) -> Mapping[str, str]:
    return {
        name.lower().removeprefix(BAGGAGE_PREFIX): value
        for name, value in headers.items()
        if name.lower().startswith(BAGGAGE_PREFIX)
    }


def _refused(field: str, allowed: str, actual: str) -> ApiError:
    return invalid(
        f"{field} is set to an invalid value (allowed: {allowed}, actual: '{actual[:200]}')"
    )
