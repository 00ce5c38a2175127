"""One pool under whatever may happen to it, in whatever order: what must hold all the time."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.core.lifecycle import State
from emulator.drivers.fake import FakeDriver, FakeInstance, Script
from emulator.engine.events import Fault, InstanceStarted
from emulator.engine.pool import Member, NoInstance, Pool, PoolLimits, PoolRetired
from emulator.engine.ports import InstanceSpec, StartFailed
from tests.support.clock import settle
from tests.support.fakes import DEADLINE_S, Events, a_spec

QUIET = 30
"""Turns of the loop after which nothing moves any more by itself."""


class Caller:
    """Somebody who asks for an instance and keeps it until told to give it back."""

    def __init__(self, pool: Pool) -> None:
        self.member: Member | None = None
        self.done = asyncio.Event()
        self.task = asyncio.ensure_future(self._call(pool))

    @property
    def held(self) -> FakeInstance | None:
        if self.member is None or self.task.done():
            return None
        assert isinstance(self.member.instance, FakeInstance)
        return self.member.instance

    async def _call(self, pool: Pool) -> None:
        try:
            self.member = await pool.acquire(DEADLINE_S)
        except (PoolRetired, NoInstance, StartFailed):
            return
        try:
            await self.done.wait()
        finally:
            pool.release(self.member)


class Scene:
    """A pool with everybody and everything around it. ``pick`` chooses among what there is."""

    def __init__(self, limit: int, slow_stops: bool) -> None:
        self.limit = limit
        self.driver = FakeDriver()
        self.events = Events()
        self.callers: list[Caller] = []
        self.served: list[Caller] = []
        self.starts: list[asyncio.Future[None]] = []
        self.stops: list[asyncio.Future[None]] = []
        self.emptied = 0
        self.retired = False
        self.driver.scripts["hello"] = (
            Script(starting=self._starting, stopping=self._stopping)
            if slow_stops
            else Script(starting=self._starting)
        )
        numbers = count(1)
        self.pool = Pool(
            "hello",
            spec=lambda: a_spec(f"c-{next(numbers)}"),
            driver=self.driver,
            limits=PoolLimits(limit, 3600.0),
            emit=self.events,
            on_empty=self._emptied,
        )

    async def _starting(self, spec: InstanceSpec) -> None:
        self.starts.append(asyncio.get_running_loop().create_future())
        await self.starts[-1]

    async def _stopping(self) -> None:
        self.stops.append(asyncio.get_running_loop().create_future())
        await self.stops[-1]

    def _emptied(self, pool: Pool) -> None:
        assert self.retired, "a pool that still lends may not be thrown away"
        self.emptied += 1

    def caller_comes(self, pick: int) -> None:
        self.callers.append(Caller(self.pool))

    def caller_gives_back(self, pick: int) -> None:
        holders = [caller for caller in self.callers if caller.held]
        if holders:
            holders[pick % len(holders)].done.set()

    def caller_leaves(self, pick: int) -> None:
        """Out of the line, with an instance in hand, or just as it is handed one."""
        present = [caller for caller in self.callers if not caller.task.done()]
        if present:
            present[pick % len(present)].task.cancel()

    def start_succeeds(self, pick: int) -> None:
        if start := self._start(pick):
            start.set_result(None)

    def start_fails(self, pick: int) -> None:
        if start := self._start(pick):
            start.set_exception(StartFailed("it did not come up"))

    def driver_has_a_bug(self, pick: int) -> None:
        if start := self._start(pick):
            start.set_exception(KeyError("oops"))

    def _start(self, pick: int) -> asyncio.Future[None] | None:
        under_way = [start for start in self.starts if not start.done()]
        return under_way[pick % len(under_way)] if under_way else None

    def stops_end(self, pick: int) -> None:
        for stop in self.stops:
            if not stop.done():
                stop.set_result(None)

    def instance_dies(self, pick: int) -> None:
        up = {event.instance for event in self.events.of(InstanceStarted)}
        living = [instance for instance in self.driver.living if instance.id in up]
        if living:
            living[pick % len(living)].end(1)

    def code_is_replaced(self, pick: int) -> None:
        self.retired = True
        self.pool.retire()

    def check(self) -> None:
        """What holds at any moment."""
        held = [caller.held for caller in self.callers if caller.held]
        assert len(held) == len({instance.id for instance in held}), "lent to two at a time"
        counts = self.pool.counts()
        counted = (State.STARTING, State.IDLE, State.BUSY)
        assert sum(counts.get(state, 0) for state in counted) <= self.limit
        for caller in self.callers:
            if caller.member is not None and caller not in self.served:
                earlier = self.callers[: self.callers.index(caller)]
                assert all(other.member or other.task.done() for other in earlier), "not in turn"
                self.served.append(caller)
        assert {type(fault.error) for fault in self.events.of(Fault)} <= {KeyError}

    def check_quiet(self) -> None:
        """What holds once all that could happen by itself has happened: no waiting in vain."""
        counts = self.pool.counts()
        held = [caller.held for caller in self.callers if caller.held]
        lent = counts.get(State.BUSY, 0) + counts.get(State.DRAINING, 0)
        assert lent == sum(instance.living for instance in held)
        if self.retired:
            assert self.pool.waiting == 0
        elif self.pool.waiting:
            room = self.limit - counts.get(State.BUSY, 0)
            assert State.IDLE not in counts
            assert counts.get(State.STARTING, 0) >= min(self.pool.waiting, room)

    async def close(self, turns: int) -> None:
        """Whatever state it is in: a close ends everything and leaves nothing.

        Callers give back what they have while it is under way.
        """
        self.retired = True
        closing = asyncio.ensure_future(self.pool.close())
        await settle(turns)
        for caller in self.callers:
            caller.done.set()
        while not closing.done():
            await settle(QUIET)
            self.stops_end(0)
        await closing
        tasks = [caller.task for caller in self.callers]
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(end) for end in ends} <= {type(None), asyncio.CancelledError}
        self.check()
        assert self.driver.living == []
        assert self.pool.counts() == {}
        assert self.pool.waiting == 0
        assert self.emptied == 1
        assert asyncio.all_tasks() == {asyncio.current_task()}


COMMON: list[Callable[[Scene, int], None]] = [
    Scene.caller_comes,
    Scene.caller_comes,
    Scene.start_succeeds,
    Scene.start_succeeds,
    Scene.caller_gives_back,
    Scene.caller_leaves,
    Scene.start_fails,
    Scene.driver_has_a_bug,
    Scene.stops_end,
    Scene.instance_dies,
]


@dataclass(frozen=True)
class Step:
    """Something that happens, and the turns of the loop until the next thing does."""

    happens: Callable[[Scene, int], None]
    pick: int
    turns: int

    def __repr__(self) -> str:
        return f"{self.happens.__name__}({self.pick}), {self.turns} turns"


def steps(kinds: list[Callable[[Scene, int], None]]) -> st.SearchStrategy[Step]:
    """Mostly with few turns between them, so that one falls into the middle of the other."""
    turns = st.sampled_from([1, 2, 3, 0, 1, 2, 3, 4, QUIET])
    return st.builds(Step, st.sampled_from(kinds), st.integers(0, 3), turns)


@pytest.mark.timeout(600)  # as many examples as the profile says, each some tens of milliseconds
@given(
    program=st.lists(steps(COMMON), min_size=15, max_size=40),
    last=st.lists(steps([*COMMON, Scene.code_is_replaced]), max_size=10),
    limit=st.integers(1, 3),
    slow_stops=st.booleans(),
    closing_turns=st.integers(0, 4),
)
def test_whatever_happens_no_rule_is_broken_and_nothing_is_left(
    program: list[Step], last: list[Step], limit: int, slow_stops: bool, closing_turns: int
):
    async def play() -> None:
        scene = Scene(limit, slow_stops)
        async with asyncio.timeout(DEADLINE_S):
            for step in [*program, *last]:
                step.happens(scene, step.pick)
                await settle(step.turns)
                scene.check()
                if step.turns == QUIET:
                    scene.check_quiet()
            await settle(QUIET)
            scene.check_quiet()
            await scene.close(closing_turns)

    asyncio.run(play())
