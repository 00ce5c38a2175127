"""What happened, as frozen values: the whole vocabulary between the engine and its observers.

Events are the log: nothing in ``core`` or ``engine`` writes a line or counts anything. Instants
(``at``) are epoch seconds of the clock that the bus was given.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from emulator.core.outcome import Outcome
from emulator.core.refs import FunctionRef

InvocationKind = Literal["sync", "async"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceStarted:
    """An instance answers. ``start_ms`` is the time from the decision to start it."""

    function: str
    instance: str
    start_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceStopped:
    """Nothing of an instance is left."""

    function: str
    instance: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationFinished:
    """An attempt is over.

    ``function`` is its id, ``ref`` how the caller named it. ``instance`` and the ``checksum`` of
    the code are None when no instance was given to it. Times are on the run clock.
    """

    request_id: str
    ref: FunctionRef
    function: str
    kind: InvocationKind
    outcome: Outcome
    instance: str | None
    checksum: str | None
    cold_start: bool
    queued_ms: float
    start_ms: float
    run_ms: float
    peak_mb: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAccepted:
    """An asynchronous invocation was accepted."""

    request_id: str
    function: str
    due_at: float
    delayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettled:
    """An asynchronous invocation is over for good."""

    request_id: str
    function: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeChanged:
    """A function's next invocation runs other code than its last."""

    function: str
    checksum: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line that a function printed, without its end of line; paths read as the user's own.

    ``platform`` marks the lines that the runtime adds around each call.
    """

    function: str
    instance: str
    request_id: str | None
    text: str
    platform: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that the user should know and may want to do something about."""

    text: str
    function: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Our bug: where it was caught and what it was. The process goes on."""

    where: str
    error: BaseException


Event = (
    InstanceStarted
    | InstanceStopped
    | InvocationFinished
    | JobAccepted
    | JobSettled
    | CodeChanged
    | LogLine
    | Notice
    | Fault
)


class EventBus:
    """Hands each event to every sink, in the order in which they were added."""

    def __init__(self) -> None:
        self._sinks: list[Callable[[Event], None]] = []

    def subscribe(self, sink: Callable[[Event], None]) -> None:
        """Let ``sink`` hear every event from now on. It must not block and must not raise."""
        self._sinks.append(sink)

    def publish(self, event: Event) -> None:
        """Tell every sink; one that raises is dropped and the others hear of it."""
        for sink in tuple(self._sinks):
            if sink not in self._sinks:
                continue
            try:
                sink(event)
            except Exception as error:  # noqa: BLE001 - a broken observer must not end the emulator
                self._sinks.remove(sink)
                self.publish(Fault(where=f"event sink {sink!r}", error=error))
