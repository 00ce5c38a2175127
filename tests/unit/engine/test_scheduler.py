"""Asynchronous work on a clock that is moved by hand: when it runs, in which order, how much."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from emulator.core.job import Job
from emulator.core.outcome import Outcome, Returned, SystemFailed
from emulator.core.refs import FunctionRef
from emulator.engine.events import Fault, JobAccepted, JobSettled
from emulator.engine.ports import Acceptance
from emulator.engine.scheduler import Capacity, Scheduler
from emulator.journal.memory import MemoryJournal
from tests.support.clock import ManualClock, settle
from tests.support.fakes import Events, Gate

Attempt = Callable[[Job, bytes], Awaitable[Outcome]]


class Run:
    """A scheduler and what its jobs did: ``started`` and ``ended`` in order, with the instant."""

    def __init__(self, *, total: int = 16, per_function: int = 16) -> None:
        self.clock = ManualClock()
        self.journal = MemoryJournal()
        self.events = Events()
        self.per_function: dict[str, int] = defaultdict(lambda: per_function)
        self.gate: Gate | None = None
        self.started: list[tuple[Job, float]] = []
        self.running: Counter[int] = Counter()
        self.most_running: Counter[int] = Counter()
        self.most_in_all = 0
        self.scheduler = Scheduler(
            self.clock,
            self.journal,
            capacity=Capacity(total, lambda function_id: self.per_function[function_id]),
            attempt=self.attempt,
            emit=self.events,
        )

    async def attempt(self, job: Job, body: bytes) -> Outcome:
        self.started.append((job, self.clock.now()))
        self.running[job.function] += 1
        self.most_running |= self.running
        self.most_in_all = max(self.most_in_all, self.running.total())
        try:
            if body == b"raise":
                raise RuntimeError("a bug of ours")
            if self.gate is not None:
                await self.gate.passed()
            return Returned(body)
        finally:
            self.running[job.function] -= 1

    async def submit(
        self, function_id: str = "f", *, delay_s: float = 0.0, body: bytes = b"event"
    ) -> Job:
        now = self.clock.now()
        acceptance = Acceptance(
            request_id=f"{function_id}-{len(self.events.of(JobAccepted))}",
            ref=FunctionRef("default", function_id),
            function_id=function_id,
            accepted_at=now,
            due_at=now + delay_s,
        )
        return await self.scheduler.submit(acceptance, body)

    def order(self) -> list[str]:
        return [job.request_id for job, _ in self.started]


@pytest.fixture
async def make_run() -> AsyncIterator[Callable[..., Run]]:
    runs: list[Run] = []

    def make(*, total: int = 16, per_function: int = 16) -> Run:
        run = Run(total=total, per_function=per_function)
        run.scheduler.start()
        runs.append(run)
        return run

    yield make
    for run in runs:
        if run.gate is not None:
            run.gate.open()
        await run.scheduler.close()


@pytest.fixture
async def run(make_run: Callable[..., Run]) -> Run:
    return make_run()


async def test_delay_of_zero_runs_at_once(run: Run):
    await run.submit()
    await settle()

    assert run.order() == ["f-0"]
    assert run.started[0][1] == run.clock.now()


async def test_delayed_job_runs_at_its_second_and_not_before(run: Run):
    await run.submit(delay_s=600)

    await run.clock.advance(599.999)
    assert run.started == []
    assert (run.scheduler.pending, run.scheduler.running) == (1, 0)

    await run.clock.advance(0.001)
    assert run.order() == ["f-0"]
    assert (run.scheduler.pending, run.scheduler.running) == (0, 0)


async def test_delay_counts_from_the_submission(run: Run):
    await run.clock.advance(1000)
    job = await run.submit(delay_s=60)

    assert run.scheduler.next_due() == job.accepted_at + 60 == job.due_at


async def test_earlier_submission_is_not_held_up_by_a_later_one(run: Run):
    await run.submit("late", delay_s=3600)
    await settle()

    await run.submit("early", delay_s=10)
    await run.clock.advance(10)

    assert run.order() == ["early-1"]


@pytest.mark.parametrize(
    ("total", "per_function"), [(16, 16), (16, 1), (1, 16)], ids=["wide", "one-each", "one-in-all"]
)
async def test_ten_thousand_random_delays_run_in_exact_order_and_never_early(
    make_run: Callable[..., Run], total: int, per_function: int
):
    run = make_run(total=total, per_function=per_function)
    dice = random.Random(20231114)
    jobs = [
        await run.submit(f"f{dice.randrange(5)}", delay_s=dice.randint(0, 3600))
        for _ in range(10_000)
    ]

    await run.clock.advance(3600)
    await run.events.wait_for(JobSettled, len(jobs))

    assert all(at >= job.due_at for job, at in run.started)
    for function in range(5):
        ran = [(job.due_at, job.seq) for job, _ in run.started if job.function == function]
        assert ran == sorted((j.due_at, j.seq) for j in jobs if j.function == function)
    assert max(run.most_running.values()) <= per_function
    assert run.most_in_all <= total
    assert run.clock.most_sleeping == 1, "one timer, whatever waits"
    assert (run.scheduler.pending, run.scheduler.running) == (0, 0)
    assert list(await run.journal.pending()) == []


async def test_one_function_alone_runs_in_exact_order_of_due_time_and_acceptance(run: Run):
    dice = random.Random(7)
    jobs = [await run.submit(delay_s=dice.randint(0, 5)) for _ in range(500)]

    await run.clock.advance(5)

    assert [job for job, _ in run.started] == sorted(jobs, key=lambda job: (job.due_at, job.seq))


async def test_no_more_than_the_total_runs_at_a_time(make_run: Callable[..., Run]):
    run = make_run(total=3)
    run.gate = Gate()
    for n in range(10):
        await run.submit(f"f{n % 4}")
    await settle()

    assert (run.scheduler.running, run.scheduler.pending) == (3, 7)

    run.gate.open()
    await run.events.wait_for(JobSettled, 10)
    assert run.most_in_all == 3


async def test_no_more_of_a_function_than_it_has_room_for_runs_at_a_time(run: Run):
    """What has been taken counts from that moment on, not from when it has an instance."""
    run.per_function["f"] = 2
    run.gate = Gate()
    for _ in range(10):
        await run.submit("f")
    await settle()

    assert (run.scheduler.running, run.scheduler.pending) == (2, 8)

    run.gate.open()
    await run.events.wait_for(JobSettled, 10)
    assert run.most_in_all == 2


async def test_function_without_room_holds_up_no_other(run: Run):
    run.per_function["full"] = 0
    await run.submit("full")
    await run.submit("free")
    await settle()

    assert run.order() == ["free-1"]


async def test_job_runs_once_room_is_made(run: Run):
    run.per_function["f"] = 0
    await run.submit("f")
    await settle()
    assert run.started == []

    run.per_function["f"] = 1
    run.scheduler.kick()
    await settle()

    assert run.order() == ["f-0"]


async def test_functions_share_fairly(make_run: Callable[..., Run]):
    """A flood of one function does not hold up the few jobs of another."""
    run = make_run(total=1)
    run.gate = Gate()
    for _ in range(50):
        await run.submit("flood")
    for _ in range(3):
        await run.submit("few")

    run.gate.open()
    await run.events.wait_for(JobSettled, 53)

    places = [n for n, (job, _) in enumerate(run.started) if job.ref.function == "few"]
    assert places[-1] <= 7


async def test_attempt_that_raises_is_a_fault_and_a_failure_and_the_loop_goes_on(run: Run):
    await run.submit(body=b"raise")
    await run.submit(body=b"fine")
    settled = await run.events.wait_for(JobSettled, 2)

    assert {event.request_id: event.outcome for event in settled} == {
        "f-0": SystemFailed("RuntimeError('a bug of ours')"),
        "f-1": Returned(b"fine"),
    }
    [fault] = run.events.of(Fault)
    assert fault.where == "job f-0"
    assert isinstance(fault.error, RuntimeError)
    assert list(await run.journal.pending()) == []


async def test_acceptance_and_end_are_told(run: Run):
    at_once = await run.submit("f", body=b"1")
    later = await run.submit("g", delay_s=5, body=b"2")
    await run.clock.advance(5)

    assert run.events.of(JobAccepted) == [
        JobAccepted(request_id="f-0", function="f", due_at=at_once.due_at, delayed=False),
        JobAccepted(request_id="g-1", function="g", due_at=later.due_at, delayed=True),
    ]
    assert run.events.of(JobSettled) == [
        JobSettled(request_id="f-0", function="f", outcome=Returned(b"1")),
        JobSettled(request_id="g-1", function="g", outcome=Returned(b"2")),
    ]


async def test_close_waits_for_what_runs_and_takes_no_more(run: Run):
    gate = run.gate = Gate()
    run.per_function["f"] = 1
    await run.submit("f")
    await run.submit("f")
    await run.submit("f", delay_s=5)
    await gate.reached()

    closing = asyncio.ensure_future(run.scheduler.close())
    await run.clock.advance(10)
    assert not closing.done()

    gate.open()
    await closing
    await run.clock.advance(10)
    assert run.order() == ["f-0"]
    assert (run.scheduler.pending, run.scheduler.running) == (2, 0)
    assert run.clock.sleeping == 0


async def test_close_before_start_and_twice_is_fine():
    run = Run()

    await run.scheduler.close()
    run.scheduler.start()
    await run.scheduler.close()
    await run.scheduler.close()

    await run.submit()
    await settle()
    assert run.started == []
    assert run.scheduler.pending == 1


async def test_what_waited_before_the_start_runs_then(make_run: Callable[..., Run]):
    run = Run()
    await run.submit()
    await settle()
    assert run.started == []

    run.scheduler.start()
    await settle()

    assert run.order() == ["f-0"]
    await run.scheduler.close()


async def test_jobs_are_claimed_in_one_commit():
    """Never one commit per job while more are due."""
    claims: list[list[int]] = []

    class CountingJournal(MemoryJournal):
        async def claimed(self, seqs: Sequence[int]) -> list[Job]:
            claims.append(list(seqs))
            return await super().claimed(seqs)

    events = Events()
    clock = ManualClock()

    async def attempt(job: Job, body: bytes) -> Outcome:
        return Returned(body)

    scheduler = Scheduler(
        clock,
        CountingJournal(),
        capacity=Capacity(8, lambda _: 8),
        attempt=attempt,
        emit=events,
    )
    for n in range(8):
        await scheduler.submit(
            Acceptance(
                request_id=str(n),
                ref=FunctionRef("default", "f"),
                function_id="f",
                accepted_at=clock.now(),
                due_at=clock.now() + 1,
            ),
            b"",
        )
    scheduler.start()

    await clock.advance(1)

    assert claims == [[1, 2, 3, 4, 5, 6, 7, 8]]
    await scheduler.close()


async def test_loop_that_ends_by_itself_is_told():
    """Silence would look like patience."""

    class BrokenJournal(MemoryJournal):
        async def claimed(self, seqs: Sequence[int]) -> list[Job]:
            raise OSError("no disk")

    events, clock = Events(), ManualClock()

    async def attempt(job: Job, body: bytes) -> Outcome:
        return Returned(body)

    scheduler = Scheduler(
        clock, BrokenJournal(), capacity=Capacity(1, lambda _: 1), attempt=attempt, emit=events
    )
    await scheduler.submit(
        Acceptance(
            request_id="id",
            ref=FunctionRef("default", "f"),
            function_id="f",
            accepted_at=clock.now(),
            due_at=clock.now(),
        ),
        b"",
    )

    scheduler.start()
    (fault,) = await events.wait_for(Fault)

    assert "accepted work" in fault.where
    assert str(fault.error) == "no disk"
    await scheduler.close()
