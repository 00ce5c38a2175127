"""One pool in single steps; ``test_pool_invariants.py`` takes random ones."""

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import count

import pytest

from emulator.core.lifecycle import State
from emulator.core.request import Reply, Request
from emulator.drivers.fake import FakeDriver, FakeInstance, Script
from emulator.engine.events import Fault, InstanceStarted, InstanceStopped
from emulator.engine.pool import Member, NoInstance, Pool, PoolLimits, PoolRetired
from emulator.engine.ports import InstanceSpec, StartFailed
from tests.support.clock import settle
from tests.support.fakes import DEADLINE_S, Events, Gate, a_request, a_spec, all_done


class Rig:
    """A pool, its driver, and who was told that it is empty."""

    def __init__(self, max_instances: int, idle_timeout_s: float) -> None:
        self.driver = FakeDriver()
        self.events = Events()
        self.emptied: list[Pool] = []
        numbers = count(1)
        self.pool = Pool(
            "hello",
            spec=lambda: a_spec(f"c-{next(numbers)}"),
            driver=self.driver,
            limits=PoolLimits(max_instances, idle_timeout_s),
            emit=self.events,
            on_empty=self.emptied.append,
        )

    def script(self, script: Script) -> None:
        self.driver.scripts["hello"] = script

    def asking(self, timeout_s: float = DEADLINE_S) -> asyncio.Task[Member]:
        """Stand in line."""
        return asyncio.ensure_future(self.pool.acquire(timeout_s))

    async def acquire(self) -> Member:
        return await self.pool.acquire(DEADLINE_S)

    def instance(self, member: Member) -> FakeInstance:
        assert isinstance(member.instance, FakeInstance)
        return member.instance


MakeRig = Callable[..., Rig]


@pytest.fixture
async def make_rig() -> AsyncIterator[MakeRig]:
    """Make pools; each is closed at the end and must then be empty."""
    rigs: list[Rig] = []

    def make(*, max_instances: int = 3, idle_timeout_s: float = 3600.0) -> Rig:
        rigs.append(Rig(max_instances, idle_timeout_s))
        return rigs[-1]

    yield make
    for rig in rigs:
        await rig.pool.close()
        assert rig.driver.living == []
        assert rig.pool.counts() == {}
        assert rig.emptied == [rig.pool], "told once, and only when it is empty"


@pytest.fixture
async def rig(make_rig: MakeRig) -> Rig:
    return make_rig()


async def failing(spec: InstanceSpec) -> None:
    raise StartFailed("no memory")


class TestLending:
    async def test_hundred_calls_one_after_the_other_share_an_instance(self, rig: Rig):
        for n in range(100):
            member = await rig.acquire()
            assert member.uses == n + 1
            rig.pool.release(member)

        assert len(rig.driver.instances) == 1
        assert rig.pool.counts() == {State.IDLE: 1}

    async def test_calls_at_a_time_have_an_instance_each(self, rig: Rig):
        members = await all_done(rig.asking() for _ in range(3))

        assert len({member.id for member in members}) == 3
        assert rig.pool.counts() == {State.BUSY: 3}
        for member in members:
            rig.pool.release(member)
        assert rig.pool.counts() == {State.IDLE: 3}

    async def test_beyond_the_limit_callers_are_served_in_the_order_they_came(
        self, make_rig: MakeRig
    ):
        rig = make_rig(max_instances=1)
        served: list[int] = []

        async def call(n: int) -> None:
            member = await rig.acquire()
            served.append(n)
            await settle(3)
            rig.pool.release(member)

        await all_done(asyncio.ensure_future(call(n)) for n in range(20))

        assert served == list(range(20))
        assert rig.driver.most_living == 1

    async def test_more_callers_than_starts_never_start_too_many(self, rig: Rig):
        gate = Gate()
        rig.script(Script(starting=gate.passed))
        callers = [rig.asking() for _ in range(50)]
        await settle()

        assert gate.arrived == 3
        assert rig.pool.waiting == 50
        assert rig.pool.counts() == {State.STARTING: 3}

        gate.open()
        for caller in callers:
            rig.pool.release(await caller)
        assert len(rig.driver.instances) == 3

    async def test_no_more_instances_start_than_callers_wait(self, rig: Rig):
        gate = Gate()
        rig.script(Script(starting=gate.passed))
        callers = [rig.asking(), rig.asking()]
        await settle()

        assert gate.arrived == 2
        gate.open()
        for caller in callers:
            rig.pool.release(await caller)

    async def test_most_recently_used_instance_is_taken_first(self, rig: Rig):
        first, second = await all_done([rig.asking(), rig.asking()])
        rig.pool.release(second)
        await settle()
        rig.pool.release(first)

        again = await rig.acquire()

        assert again is first
        rig.pool.release(again)

    async def test_instance_that_is_not_fit_any_more_is_ended(self, rig: Rig):
        member = await rig.acquire()
        rig.instance(member).end()

        rig.pool.release(member)
        [stopped] = await rig.events.wait_for(InstanceStopped)

        assert stopped.instance == member.id
        assert rig.pool.counts() == {}

    async def test_start_and_stop_are_told(self, rig: Rig):
        member = await rig.acquire()
        rig.pool.release(member)
        rig.pool.retire()
        await rig.events.wait_for(InstanceStopped)

        assert rig.events.all == [
            InstanceStarted(function="hello", instance=member.id, start_ms=member.start_ms),
            InstanceStopped(function="hello", instance=member.id, reason="reload"),
        ]
        assert member.start_ms >= 0


class TestWaiting:
    async def test_caller_who_waited_too_long_is_told(self, make_rig: MakeRig):
        rig = make_rig(max_instances=1)
        member = await rig.acquire()

        with pytest.raises(NoInstance):
            await rig.pool.acquire(0.01)

        assert rig.pool.waiting == 0
        rig.pool.release(member)

    async def test_idle_instance_is_given_even_when_no_time_is_left(self, rig: Rig):
        rig.pool.release(await rig.acquire())

        member = await rig.pool.acquire(0)

        rig.pool.release(member)

    async def test_caller_who_leaves_the_line_is_skipped(self, make_rig: MakeRig):
        rig = make_rig(max_instances=1)
        member = await rig.acquire()
        leaving, staying = rig.asking(), rig.asking()
        await settle()

        leaving.cancel()
        await settle()
        assert rig.pool.waiting == 1

        rig.pool.release(member)
        rig.pool.release(await staying)
        assert leaving.cancelled()

    async def test_instance_given_to_a_caller_who_leaves_at_that_moment_goes_to_the_next(
        self, make_rig: MakeRig
    ):
        rig = make_rig(max_instances=1)
        member = await rig.acquire()
        leaving, staying = rig.asking(), rig.asking()
        await settle()

        rig.pool.release(member)
        leaving.cancel()

        assert await staying is member
        assert leaving.cancelled()
        rig.pool.release(member)

    async def test_instance_that_nobody_used_yet_is_still_new_to_the_next(self, rig: Rig):
        """Its first caller left as it was handed over: the next one has the cold start."""
        gate = Gate()
        rig.script(Script(starting=gate.passed))
        leaving = rig.asking()
        await gate.reached()
        gate.open()
        while State.BUSY not in rig.pool.counts():
            await settle(1)
        leaving.cancel()

        member = await rig.acquire()

        assert leaving.cancelled()
        assert member.uses == 1
        rig.pool.release(member)

    async def test_start_goes_on_for_a_caller_who_left(self, rig: Rig):
        gate = Gate()
        rig.script(Script(starting=gate.passed))
        leaving = rig.asking()
        await gate.reached()
        leaving.cancel()
        gate.open()
        await rig.events.wait_for(InstanceStarted)

        assert rig.pool.counts() == {State.IDLE: 1}

    async def test_caller_may_be_served_before_its_own_instance_is_up(self, rig: Rig):
        first = await rig.acquire()
        gate = Gate()
        rig.script(Script(starting=gate.passed))
        caller = rig.asking()
        await gate.reached()

        rig.pool.release(first)

        assert await caller is first
        rig.pool.release(first)
        gate.open()


class TestFailedStarts:
    async def test_failure_goes_to_the_caller_in_front_and_the_others_are_served(self, rig: Rig):
        gate = Gate()
        results = [StartFailed("no memory"), None, None]

        async def starting(spec: InstanceSpec) -> None:
            failure = results.pop(0)
            await gate.passed()
            if failure is not None:
                raise failure

        rig.script(Script(starting=starting))
        callers = [rig.asking() for _ in range(3)]
        await gate.reached(3)
        results.append(None)

        gate.open()

        with pytest.raises(StartFailed, match="no memory"):
            await callers[0]
        for caller in callers[1:]:
            rig.pool.release(await caller)

    async def test_every_caller_hears_of_a_failure_of_its_own(self, make_rig: MakeRig):
        """A function that never comes up: nobody waits for ever, nothing is tried in circles."""
        rig = make_rig(max_instances=2)
        rig.script(Script(starting=failing))
        callers = [rig.asking() for _ in range(5)]

        results = await asyncio.gather(*callers, return_exceptions=True)

        assert [type(result) for result in results] == [StartFailed] * 5
        assert len(rig.driver.instances) == 5
        assert rig.pool.counts() == {}

    async def test_failure_for_a_caller_who_left_in_the_meantime_harms_nobody(self, rig: Rig):
        gate = Gate()

        async def starting(spec: InstanceSpec) -> None:
            await gate.passed()
            raise StartFailed("no memory")

        rig.script(Script(starting=starting))
        leaving = rig.asking()
        await gate.reached()
        leaving.cancel()
        gate.open()
        await settle()

        assert rig.pool.counts() == {}
        assert rig.events.of(Fault) == []

    async def test_bug_in_a_driver_is_a_fault_and_a_failed_start(self, rig: Rig):
        async def starting(spec: InstanceSpec) -> None:
            raise KeyError("oops")

        rig.script(Script(starting=starting))

        with pytest.raises(StartFailed, match="KeyError"):
            await rig.acquire()

        [fault] = await rig.events.wait_for(Fault)
        assert fault.where == "an instance of hello"
        assert isinstance(fault.error, KeyError)
        assert rig.pool.counts() == {}


class TestExits:
    async def test_instance_that_exits_while_idle_is_forgotten(self, rig: Rig):
        member = await rig.acquire()
        rig.pool.release(member)

        rig.instance(member).end(1)
        [stopped] = await rig.events.wait_for(InstanceStopped)

        assert stopped.reason == "exited"
        other = await rig.acquire()
        assert other.id != member.id
        rig.pool.release(other)

    async def test_what_an_exited_instance_left_is_cleared_away_before_its_end_is_told(
        self, rig: Rig
    ):
        gate = Gate()
        rig.script(Script(stopping=gate.passed))
        member = await rig.acquire()
        rig.pool.release(member)

        rig.instance(member).end(1)
        await gate.reached()
        await settle()
        assert rig.events.of(InstanceStopped) == []

        gate.open()
        await rig.events.wait_for(InstanceStopped)

    async def test_instance_that_has_just_exited_is_not_lent(self, rig: Rig):
        """Though nobody has been told of it yet."""
        member = await rig.acquire()
        rig.pool.release(member)
        rig.instance(member).end(1)

        other = await rig.acquire()

        assert other.id != member.id
        rig.pool.release(other)

    async def test_instance_that_exits_while_busy_leaves_room_for_another(self, make_rig: MakeRig):
        rig = make_rig(max_instances=1)
        member = await rig.acquire()
        waiting = rig.asking()
        await settle()

        rig.instance(member).end(1)

        other = await waiting
        assert other.id != member.id
        rig.pool.release(member)
        rig.pool.release(other)

    async def test_place_of_an_instance_is_free_once_it_is_gone_not_once_it_is_cleared_away(
        self, make_rig: MakeRig
    ):
        rig = make_rig(max_instances=1)
        gate = Gate()
        rig.script(Script(stopping=gate.passed))
        member = await rig.acquire()
        rig.pool.release(member)
        rig.instance(member).end()

        other = await rig.acquire()

        assert other.id != member.id
        rig.pool.release(other)
        gate.open()


class TestIdleTime:
    async def test_instance_that_is_idle_too_long_is_ended(self, make_rig: MakeRig):
        rig = make_rig(idle_timeout_s=0.02)
        members = await all_done([rig.asking(), rig.asking()])
        for member in members:
            rig.pool.release(member)

        stopped = await rig.events.wait_for(InstanceStopped, 2)

        assert [event.reason for event in stopped] == ["idle", "idle"]
        assert rig.pool.counts() == {}

    async def test_time_counts_from_the_last_use(self, make_rig: MakeRig):
        loop = asyncio.get_running_loop()
        rig = make_rig(idle_timeout_s=0.05)
        member = await rig.acquire()
        rig.pool.release(member)
        rig.pool.release(await rig.acquire())
        last_used = loop.time()

        await rig.events.wait_for(InstanceStopped)

        assert loop.time() - last_used >= 0.04

    async def test_each_instance_ends_in_its_own_time(self, make_rig: MakeRig):
        rig = make_rig(idle_timeout_s=0.3)
        first, second = await all_done([rig.asking(), rig.asking()])
        rig.pool.release(first)
        asyncio.get_running_loop().call_later(0.2, rig.pool.release, second)

        [stopped] = await rig.events.wait_for(InstanceStopped)

        assert stopped.instance == first.id
        assert rig.pool.counts() == {State.IDLE: 1}
        await rig.events.wait_for(InstanceStopped, 2)

    async def test_busy_instance_is_not_idle_however_long_it_runs(self, make_rig: MakeRig):
        rig = make_rig(idle_timeout_s=0.01)
        busy, other = await all_done([rig.asking(), rig.asking()])
        rig.pool.release(other)

        await rig.events.wait_for(InstanceStopped)

        assert rig.pool.counts() == {State.BUSY: 1}
        rig.pool.release(busy)


class TestRetirement:
    async def test_idle_instance_ends_at_once(self, rig: Rig):
        rig.pool.release(await rig.acquire())

        rig.pool.retire()
        await rig.events.wait_for(InstanceStopped)
        await settle()

        assert rig.emptied == [rig.pool]

    async def test_busy_instance_ends_when_its_request_is_done(self, rig: Rig):
        member = await rig.acquire()

        rig.pool.retire()
        await settle()
        assert rig.pool.counts() == {State.DRAINING: 1}
        assert rig.instance(member).living

        rig.pool.release(member)
        await rig.events.wait_for(InstanceStopped)
        await settle()
        assert rig.emptied == [rig.pool]

    async def test_busy_instance_that_dies_meanwhile_is_gone_as_well(self, rig: Rig):
        member = await rig.acquire()
        rig.pool.retire()
        rig.instance(member).end(1)

        rig.pool.release(member)
        await rig.events.wait_for(InstanceStopped)

    async def test_starting_instance_is_never_lent(self, rig: Rig):
        gate = Gate()
        rig.script(Script(starting=gate.passed))
        caller = rig.asking()
        await gate.reached()

        rig.pool.retire()
        with pytest.raises(PoolRetired):
            await caller
        gate.open()
        [stopped] = await rig.events.wait_for(InstanceStopped)

        assert stopped.reason == "reload"
        assert rig.driver.instances[0].requests == []

    async def test_starting_instance_that_fails_is_gone_as_well(self, rig: Rig):
        gate = Gate()

        async def starting(spec: InstanceSpec) -> None:
            await gate.passed()
            raise StartFailed("no memory")

        rig.script(Script(starting=starting))
        caller = rig.asking()
        await gate.reached()
        rig.pool.retire()
        gate.open()

        with pytest.raises(PoolRetired):
            await caller
        await settle()
        assert rig.emptied == [rig.pool]

    async def test_callers_in_line_are_sent_on(self, make_rig: MakeRig):
        rig = make_rig(max_instances=1)
        member = await rig.acquire()
        staying, leaving = rig.asking(), rig.asking()
        await settle()
        leaving.cancel()

        rig.pool.retire()

        with pytest.raises(PoolRetired):
            await staying
        with pytest.raises(PoolRetired):
            await rig.acquire()
        rig.pool.release(member)

    async def test_pool_that_never_had_an_instance_is_empty_at_once(self, rig: Rig):
        rig.pool.retire()
        rig.pool.retire()

        assert rig.emptied == [rig.pool]


class TestClosing:
    async def test_busy_instance_is_ended(self, rig: Rig):
        member = await rig.acquire()

        await rig.pool.close()

        assert not rig.instance(member).living
        rig.pool.release(member)

    async def test_draining_instance_is_ended(self, rig: Rig):
        member = await rig.acquire()
        rig.pool.retire()

        await rig.pool.close()

        assert not rig.instance(member).living
        rig.pool.release(member)

    async def test_start_that_is_under_way_is_given_up(self, rig: Rig):
        gate = Gate()
        rig.script(Script(starting=gate.passed))
        caller = rig.asking()
        await gate.reached()

        await rig.pool.close()

        with pytest.raises(PoolRetired):
            await caller
        assert rig.driver.living == []

    async def test_start_that_was_just_decided_is_given_up(self, rig: Rig):
        caller = rig.asking()
        await asyncio.sleep(0)

        async with asyncio.timeout(DEADLINE_S):
            await rig.pool.close()

        with pytest.raises(PoolRetired):
            await caller

    async def test_request_that_is_done_while_its_instance_is_being_ended(self, rig: Rig):
        gate = Gate()
        rig.script(Script(stopping=gate.passed))
        member = await rig.acquire()
        closing = asyncio.ensure_future(rig.pool.close())
        await settle(2)

        rig.pool.release(member)
        gate.open()

        await closing
        assert [event.reason for event in rig.events.of(InstanceStopped)] == ["stopping"]

    async def test_request_that_is_done_just_before_its_instance_is_ended(self, rig: Rig):
        member = await rig.acquire()
        closing = asyncio.ensure_future(rig.pool.close())
        await settle(1)
        assert rig.instance(member).reusable

        rig.pool.release(member)

        await closing

    async def test_all_at_once(self, make_rig: MakeRig):
        rig = make_rig(max_instances=4)
        gate = Gate()
        idle, busy, draining = await all_done(rig.asking() for _ in range(3))
        rig.pool.release(idle)
        rig.instance(draining).end()
        rig.pool.release(draining)
        rig.script(Script(starting=gate.passed))
        callers = [rig.asking() for _ in range(5)]
        await settle()

        await rig.pool.close()

        for caller in callers:
            if caller.done() and caller.exception() is None:
                rig.pool.release(caller.result())
        rig.pool.release(busy)
        await asyncio.gather(*callers, return_exceptions=True)

    async def test_twice_is_fine(self, rig: Rig):
        rig.pool.release(await rig.acquire())

        await rig.pool.close()
        await rig.pool.close()


async def test_answers_are_those_of_the_instance_that_was_lent(rig: Rig):
    async def answer(request: Request) -> Reply:
        return Reply(200, {}, b"from " + request.payload)

    rig.script(Script(answer=answer))
    member = await rig.acquire()

    reply = await rig.instance(member).exchange(a_request(b"here"))

    assert reply.body == b"from here"
    rig.pool.release(member)
