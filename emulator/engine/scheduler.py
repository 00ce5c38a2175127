"""Asynchronous work: accepted, waited for, run. The only loop that waits for time."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from emulator.core.backlog import Backlog
from emulator.core.job import Job
from emulator.core.outcome import Outcome, SystemFailed
from emulator.engine.events import Event, Fault, JobAccepted, JobSettled
from emulator.engine.ports import Acceptance, Clock, Journal


@dataclass(frozen=True, slots=True)
class Capacity:
    """``total`` is how many jobs run at a time; ``room(function id)`` how many of one may.

    Jobs that run already are included: of one just taken nobody but the scheduler knows yet.
    """

    total: int
    room: Callable[[str], int]


class Scheduler:
    """Takes jobs, waits for their time with one timer, runs each once.

    Args:
        attempt: runs a job whose body is given; an outcome, never an exception, is expected.
    """

    def __init__(
        self,
        clock: Clock,
        journal: Journal,
        *,
        capacity: Capacity,
        attempt: Callable[[Job, bytes], Awaitable[Outcome]],
        emit: Callable[[Event], None],
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._capacity = capacity
        self._attempt = attempt
        self._emit = emit
        self._backlog = Backlog()
        self._names: dict[int, str] = {}
        self._running: Counter[int] = Counter()
        self._changed = asyncio.Event()
        self._attempts: set[asyncio.Task[None]] = set()
        self._loop_task: asyncio.Task[None] | None = None

    @property
    def pending(self) -> int:
        """How many jobs wait for their time or a free slot."""
        return self._backlog.waiting

    @property
    def running(self) -> int:
        """How many jobs run."""
        return self._backlog.running

    def next_due(self) -> float | None:
        """The instant at which the next waiting job comes due."""
        return self._backlog.next_due()

    async def submit(self, acceptance: Acceptance, body: bytes) -> Job:
        """Accept a job; when this returns the journal keeps it."""
        job = await self._journal.accepted(acceptance, body)
        self._names[job.function] = acceptance.function_id
        self._backlog.submit(job.seq, job.due_at, job.function)
        self._changed.set()
        self._emit(
            JobAccepted(
                request_id=job.request_id,
                function=acceptance.function_id,
                due_at=job.due_at,
                delayed=job.due_at > job.accepted_at,
            )
        )
        return job

    def start(self) -> None:
        """Run jobs as they come due, from now on."""
        self._loop_task = asyncio.get_running_loop().create_task(self._run())
        self._loop_task.add_done_callback(self._told)

    async def close(self) -> None:
        """Take no more jobs; return once those that run have ended."""
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.wait({self._loop_task})
            self._loop_task = None
        while self._attempts:
            await asyncio.wait(self._attempts)

    def kick(self) -> None:
        """Look again: room may have been made."""
        self._changed.set()

    def _told(self, loop_task: asyncio.Task[None]) -> None:
        """Be loud when the loop has ended by itself: nothing would run any more."""
        if not loop_task.cancelled() and (error := loop_task.exception()) is not None:
            self._emit(Fault(where="the loop that runs accepted work", error=error))

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            seqs = self._backlog.take_due(
                self._clock.now(),
                limit=self._capacity.total - self._backlog.running,
                room=self._room,
            )
            for job in await self._journal.claimed(seqs) if seqs else ():
                self._running[job.function] += 1
                task = asyncio.get_running_loop().create_task(self._work(job))
                self._attempts.add(task)
                task.add_done_callback(self._attempts.discard)
            if not seqs:
                await self._wait_for(self._backlog.next_due())

    def _room(self, function: int) -> int:
        return self._capacity.room(self._names[function]) - self._running[function]

    async def _wait_for(self, due: float | None) -> None:
        """Return when ``due`` has come or something has changed."""
        waits: set[asyncio.Future[Any]] = {asyncio.ensure_future(self._changed.wait())}
        if due is not None:
            waits.add(asyncio.ensure_future(self._clock.sleep_until(due)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _work(self, job: Job) -> None:
        outcome: Outcome
        try:
            outcome = await self._attempt(job, await self._journal.body(job.seq))
        except Exception as error:  # noqa: BLE001 - one job must not take the others down
            self._emit(Fault(where=f"job {job.request_id}", error=error))
            outcome = SystemFailed(repr(error))
        await self._journal.settled([job.seq])
        self._backlog.settle(job.seq)
        self._running[job.function] -= 1
        self._changed.set()
        self._emit(
            JobSettled(
                request_id=job.request_id,
                function=self._names[job.function],
                outcome=outcome,
            )
        )
