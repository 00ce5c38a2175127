"""An accepted asynchronous invocation."""

from dataclasses import dataclass

from emulator.core.refs import FunctionRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One message. Instants are epoch seconds of the due clock; the body stays in the journal.

    ``seq`` is the journal's own number, growing in order of acceptance; ``function`` is the
    index of the function's name, small enough to be kept a million times.
    """

    seq: int
    request_id: str
    ref: FunctionRef
    function: int
    accepted_at: float
    due_at: float
    span_context: str = ""
    span_baggages: tuple[tuple[str, str], ...] = ()
