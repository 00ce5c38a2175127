"""What the engine needs from the world, one protocol per seam.

Each has one contract suite in ``tests/contract`` that runs over all its implementations.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from emulator.core.job import Job
from emulator.core.refs import FunctionRef
from emulator.core.request import Reply, Request
from emulator.core.resources import Function
from emulator.core.runtimes import RuntimeSpec
from emulator.engine.events import Event


class Clock(Protocol):
    """The due clock: when delayed work falls due, and every timestamp that is shown."""

    def now(self) -> float:
        """Give the instant in epoch seconds, UTC."""
        ...

    async def sleep_until(self, when: float) -> None:
        """Return once ``now()`` is at least ``when``, never earlier."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """What the journal is asked to keep; it gives the number."""

    request_id: str
    ref: FunctionRef
    function_id: str
    """The function's id when it was accepted; jobs of one id share slots and turns."""
    accepted_at: float
    due_at: float
    span_context: str = ""
    span_baggages: tuple[tuple[str, str], ...] = ()


class Journal(Protocol):
    """Keeps accepted jobs and their bodies."""

    durable: bool
    """Whether a job survives the death of the emulator; said on the first screen."""

    async def accepted(self, acceptance: Acceptance, body: bytes) -> Job:
        """Keep a job; return once it would survive whatever this journal survives."""
        ...

    async def claimed(self, seqs: Sequence[int]) -> list[Job]:
        """Record that these jobs start now, all in one commit, and give them in this order."""
        ...

    async def settled(self, seqs: Sequence[int]) -> None:
        """Record that these jobs are over and forget their bodies."""
        ...

    async def body(self, seq: int) -> bytes:
        """Give the body of a job that is not settled.

        Raises:
            KeyError: there is no such job.
        """
        ...

    async def pending(self) -> Iterable[tuple[float, int, int]]:
        """Give ``(due, seq, function index)`` of every job that is not settled."""
        ...


@dataclass(frozen=True, slots=True)
class CodeVersion:
    """A folder made once and never changed, named by its content.

    ``checksum`` is an unsigned decimal of 64 bits. ``source`` is the user's own folder;
    ``linked`` are folders outside that links in it lead to: what installers fill.
    """

    id: str
    folder: str
    source: str
    checksum: str
    linked: tuple[str, ...] = ()


class CodeUnavailable(Exception):
    """There is no code to run; the text says where it was looked for and what to do."""


class CodeSource(Protocol):
    """Gives the current code of a function."""

    async def current(self, function: Function) -> CodeVersion:
        """Give the version that holds every save made before the call.

        Raises:
            CodeUnavailable: the folder is missing or cannot be read.
        """
        ...

    def acquire(self, version: CodeVersion) -> None:
        """Keep ``version`` on disk until it has been released as often."""
        ...

    def release(self, version: CodeVersion) -> None:
        """Give back one ``acquire``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSpec:
    """Everything that a driver may know about an instance it starts."""

    instance_id: str
    function_id: str
    runtime: RuntimeSpec
    interpreter: str
    """The program that runs the bootstrap, as this driver names it."""
    code: CodeVersion
    env: Mapping[str, str]
    memory_mb: int


class StartFailed(Exception):
    """An instance could not be started, and nothing of it is left.

    Attributes:
        log: what it printed before it ended.
        by_function: True when its own process ended, False when the machine is at fault.
        unavailable: True when what starts instances is away and may come back.
    """

    def __init__(
        self,
        message: str,
        *,
        log: bytes = b"",
        by_function: bool = False,
        unavailable: bool = False,
    ) -> None:
        super().__init__(message)
        self.log = log
        self.by_function = by_function
        self.unavailable = unavailable


class InstanceDied(Exception):
    """The instance ended before it answered. ``peak_mb`` is None where it is not known;
    ``out_of_memory`` says that it was ended because it met its limit."""

    def __init__(self, *, log: bytes, peak_mb: float | None, out_of_memory: bool = False) -> None:
        super().__init__("the instance ended before it answered")
        self.log = log
        self.peak_mb = peak_mb
        self.out_of_memory = out_of_memory


class InstanceTimedOut(Exception):
    """The function ran out of time; its instance is gone."""

    def __init__(self, *, log: bytes, peak_mb: float | None) -> None:
        super().__init__("the function ran out of time")
        self.log = log
        self.peak_mb = peak_mb


@dataclass(frozen=True, slots=True)
class Usage:
    """What an instance has used so far; None where it is not known, never invented."""

    peak_mb: float | None


class Instance(Protocol):
    """One started copy of a function."""

    @property
    def id(self) -> str:
        """The instance id, ``c-…``."""
        ...

    @property
    def reusable(self) -> bool:
        """Whether it is fit for another request."""
        ...

    async def exchange(self, request: Request) -> Reply:
        """Hand over a request and give the answer, with this request's output in ``log``.

        Cancelled or failed, it leaves the instance unfit (``reusable`` is False).

        Raises:
            InstanceDied: it ended first; the request may have had effects.
            InstanceTimedOut: ``request.timeout_s`` passed; the instance has been ended.
        """
        ...

    async def usage(self) -> Usage:
        """Tell what it has used."""
        ...

    async def stop(self, *, grace_s: float) -> None:
        """End it; return once nothing of it is left. Twice is fine."""
        ...

    async def wait(self) -> int | None:
        """Return once its process is gone: its exit status, None when not known."""
        ...


class InstanceDriver(Protocol):
    """Starts instances, by one technique."""

    name: str

    async def start(self, spec: InstanceSpec) -> Instance:
        """Start an instance; it answers when this returns.

        Raises:
            StartFailed: it did not come up; nothing of it is left.
        """
        ...

    async def close(self) -> None:
        """End what this driver started, and only that."""
        ...


class EventSink(Protocol):
    """Hears what happened. Must not block and must not raise."""

    def __call__(self, event: Event) -> None:
        """Take one event."""
        ...
