"""A journal that keeps nothing beyond the life of the process."""

from collections.abc import Iterable, Sequence
from itertools import count

from emulator.core.job import Job
from emulator.engine.ports import Acceptance


class MemoryJournal:
    """Accepted jobs and their bodies in two dictionaries."""

    durable = False

    def __init__(self) -> None:
        self._numbers = count(1)
        self._functions: dict[str, int] = {}
        self._jobs: dict[int, Job] = {}
        self._bodies: dict[int, bytes] = {}

    async def accepted(self, acceptance: Acceptance, body: bytes) -> Job:
        """Keep a job; nothing of it survives the process."""
        function = self._functions.setdefault(acceptance.function_id, len(self._functions))
        job = Job(
            seq=next(self._numbers),
            request_id=acceptance.request_id,
            ref=acceptance.ref,
            function=function,
            accepted_at=acceptance.accepted_at,
            due_at=acceptance.due_at,
            span_context=acceptance.span_context,
            span_baggages=acceptance.span_baggages,
        )
        self._jobs[job.seq] = job
        self._bodies[job.seq] = body
        return job

    async def claimed(self, seqs: Sequence[int]) -> list[Job]:
        """Give these jobs in this order."""
        return [self._jobs[seq] for seq in seqs]

    async def settled(self, seqs: Sequence[int]) -> None:
        """Forget these jobs and their bodies."""
        for seq in seqs:
            del self._jobs[seq]
            del self._bodies[seq]

    async def body(self, seq: int) -> bytes:
        """Give the body of a job that is not settled; KeyError when there is none."""
        return self._bodies[seq]

    async def pending(self) -> Iterable[tuple[float, int, int]]:
        """Give ``(due, seq, function index)`` of every job that is not settled."""
        return [(job.due_at, job.seq, job.function) for job in self._jobs.values()]
