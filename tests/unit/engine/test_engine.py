"""The engine as the API sees it: calls now, calls later, and a stop in good order."""

import asyncio
from collections.abc import Sequence

import pytest

from emulator.core.errors import ApiError, ErrorCode
from emulator.core.job import Job
from emulator.core.outcome import Refused, Returned, SystemFailed
from emulator.core.request import InvokeOptions, Reply, Request
from emulator.drivers.fake import Script, echo, hang
from emulator.engine.engine import STOPPED
from emulator.engine.events import InvocationFinished, JobSettled, Notice
from emulator.journal.memory import MemoryJournal
from tests.support.clock import settle
from tests.support.fakes import EngineRig, Gate, Size, a_deployment, a_function, a_target, all_done
from tests.unit.engine.conftest import MakeRig


def held_by(gate: Gate) -> Script:
    """Answer with the payload once the gate is open."""

    async def answer(request: Request) -> Reply:
        await gate.passed()
        return await echo(request)

    return Script(answer=answer)


class TestCallsNow:
    async def test_answer_comes_back(self, rig: EngineRig):
        finished = await rig.invoke(rig.add("hello"), b"42")

        assert finished.outcome == Returned(b"42")
        assert finished.kind == "sync"

    async def test_caller_who_gives_up_changes_nothing(self, rig: EngineRig):
        gate = Gate()
        target = rig.add("slow", held_by(gate))
        call = rig.calling(target, b"late")
        await gate.reached()

        call.cancel()
        await settle()
        assert rig.engine.running == 1

        gate.open()
        [finished] = await rig.events.wait_for(InvocationFinished)
        assert finished.outcome == Returned(b"late")
        assert rig.pools.counts("slow") == {"idle": 1, "busy": 0, "starting": 0}

    async def test_running_counts_both_kinds(self, rig: EngineRig):
        gate = Gate()
        target = rig.add("slow", held_by(gate))
        call = rig.calling(target)
        await rig.submit(target)
        rig.engine.start()
        await gate.reached(2)

        assert rig.engine.running == 2

        gate.open()
        await call
        await rig.events.wait_for(JobSettled)
        assert rig.engine.running == 0

    async def test_instant_shown_is_that_of_the_due_clock(self, rig: EngineRig):
        await rig.clock.advance(3600)

        assert rig.engine.now() == rig.clock.now()

    async def test_adapter_may_tell_what_it_saw(self, rig: EngineRig):
        rig.engine.tell(Notice(text="look"))

        assert rig.events.all == [Notice(text="look")]


class TestCallsLater:
    async def test_delay_holds_a_call_back_and_not_a_second_longer(self, rig: EngineRig):
        rig.engine.start()
        request_id = await rig.submit(rig.add("hello"), b"42", delay_s=600)

        await rig.clock.advance(599)
        assert rig.settled() == {}

        await rig.clock.advance(1)
        assert rig.settled() == {request_id: Returned(b"42")}
        [finished] = rig.events.of(InvocationFinished)
        assert finished.kind == "async"

    async def test_name_that_is_gone_when_its_time_comes_is_refused(self, rig: EngineRig):
        rig.engine.start()
        nobody = a_target(a_deployment(a_function("gone")))
        request_id = await rig.submit(nobody, delay_s=5)

        await rig.clock.advance(5)

        text = "function 'gone' does not exist in service 'default'"
        assert rig.settled() == {request_id: Refused(ErrorCode.FUNCTION_NOT_FOUND, text)}

    async def test_name_means_what_it_means_when_its_time_comes(self, rig: EngineRig):
        rig.engine.start()
        function = a_function("hello")
        request_id = await rig.submit(a_target(a_deployment(function)), delay_s=5)
        rig.registry.add(a_deployment(function, cannot_run="now it cannot run"))

        await rig.clock.advance(5)

        refused = Refused(ErrorCode.NOT_IMPLEMENTED, "now it cannot run")
        assert rig.settled() == {request_id: refused}

    async def test_code_is_the_one_of_when_it_runs(self, rig: EngineRig):
        rig.engine.start()
        target = rig.add("hello")
        rig.code.save("hello")
        await rig.submit(target, delay_s=5)
        newer = rig.code.save("hello")

        await rig.clock.advance(5)

        [finished] = rig.events.of(InvocationFinished)
        assert finished.checksum == newer.checksum

    async def test_span_of_the_caller_reaches_the_function(self, rig: EngineRig):
        rig.engine.start()
        target = rig.add("hello")
        options = InvokeOptions(span_context="a:b:0:1", span_baggages={"k": "v", "a": "b"})

        await rig.engine.submit("request-1", target, options, b"")
        await rig.events.wait_for(JobSettled)

        [request] = rig.driver.instances[0].requests
        assert request.context.span_context == "a:b:0:1"
        assert dict(request.context.span_baggages) == {"a": "b", "k": "v"}

    async def test_calls_beyond_the_instances_stay_queued_and_are_never_throttled(
        self, make_rig: MakeRig
    ):
        """However long those before them run: the function's time-out is no limit for a queue."""
        rig = make_rig(Size(max_instances=1, max_async=16))
        gate = Gate()
        target = rig.add("slow", held_by(gate))
        rig.engine.start()
        for _ in range(10):
            await rig.submit(target)
        await gate.reached()
        await settle()

        assert (rig.engine.running, rig.engine.scheduler.pending) == (1, 9)

        gate.open()
        await rig.events.wait_for(JobSettled, 10)
        assert set(rig.settled().values()) == {Returned(b"event")}
        assert rig.driver.most_living == 1

    async def test_calls_now_come_before_calls_later(self, make_rig: MakeRig):
        rig = make_rig(Size(max_instances=2))
        gate = Gate()
        target = rig.add("slow", held_by(gate))
        calls = [rig.calling(target) for _ in range(2)]
        await gate.reached(2)
        rig.engine.start()
        request_id = await rig.submit(target)
        await settle()

        assert (rig.engine.running, rig.engine.scheduler.pending) == (2, 1)

        gate.open()
        await all_done(calls)
        await rig.events.wait_for(JobSettled)
        assert rig.settled() == {request_id: Returned(b"event")}

    async def test_call_later_need_not_wait_for_one_that_ends_on_old_code(self, make_rig: MakeRig):
        rig = make_rig(Size(max_instances=1))
        gate = Gate()
        target = rig.add("slow", held_by(gate))
        rig.engine.start()
        await rig.submit(target)
        await gate.reached()
        await rig.submit(target)
        await settle()

        rig.engine.code_changed("slow", rig.code.save("slow"))
        await gate.reached(2)

        assert rig.engine.running == 2
        gate.open()
        await rig.events.wait_for(JobSettled, 2)

    async def test_half_a_thousand_calls_of_many_functions_all_run_once(self, make_rig: MakeRig):
        rig = make_rig(Size(max_instances=2, max_async=8))
        targets = [rig.add(f"f{n}") for n in range(10)]
        rig.engine.start()

        ids = [await rig.submit(targets[n % 10], delay_s=n % 3) for n in range(500)]
        await rig.clock.advance(2)
        await rig.events.wait_for(JobSettled, 500)

        assert sorted(rig.settled()) == sorted(ids)
        assert len(rig.events.of(InvocationFinished)) == 500

    def test_work_in_memory_does_not_claim_to_last(self):
        assert not MemoryJournal().durable

    async def test_engine_lasts_as_long_as_its_journal(self, rig: EngineRig):
        assert not rig.engine.durable


class TestStop:
    async def test_running_call_finishes_within_its_grace(self, rig: EngineRig):
        gate = Gate()
        call = rig.calling(rig.add("slow", held_by(gate)), b"done")
        await gate.reached()

        stopping = asyncio.ensure_future(rig.engine.stop(60))
        await settle()
        assert rig.engine.stopping
        assert not stopping.done()
        gate.open()
        await stopping

        assert (await call).outcome == Returned(b"done")
        assert rig.driver.living == []

    async def test_running_call_that_nobody_waits_for_finishes_as_well(self, rig: EngineRig):
        gate = Gate()
        rig.engine.start()
        request_id = await rig.submit(rig.add("slow", held_by(gate)), b"done")
        await gate.reached()

        stopping = asyncio.ensure_future(rig.engine.stop(60))
        await settle()
        assert not stopping.done()
        gate.open()
        await stopping

        assert rig.settled() == {request_id: Returned(b"done")}
        assert rig.driver.living == []

    async def test_what_outlasts_its_grace_is_ended_and_its_caller_told(self, rig: EngineRig):
        target = rig.add("slow", Script(answer=hang))
        rig.engine.start()
        call = rig.calling(target)
        request_id = await rig.submit(target)
        await settle()

        await rig.engine.stop(0.02)

        with pytest.raises(ApiError) as told:
            await call
        assert (told.value.status, told.value.code) == (503, ErrorCode.RESOURCE_THROTTLED)
        assert told.value.message == STOPPED
        assert rig.settled() == {request_id: SystemFailed(STOPPED)}
        assert rig.driver.living == []
        assert rig.engine.running == 0

    async def test_caller_in_line_is_told_as_well(self, make_rig: MakeRig):
        rig = make_rig(Size(max_instances=1))
        target = rig.add("slow", Script(answer=hang))
        calls = [rig.calling(target) for _ in range(3)]
        await settle()

        await rig.engine.stop(0)

        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [getattr(result, "status", None) for result in results] == [503, 503, 503]
        assert len(rig.driver.instances) == 1

    async def test_start_that_is_under_way_is_given_up(self, rig: EngineRig):
        gate = Gate()
        target = rig.add("slow", Script(starting=gate.passed))
        call = rig.calling(target)
        await gate.reached()

        await rig.engine.stop(0)

        with pytest.raises(ApiError):
            await call
        assert rig.driver.living == []

    async def test_waiting_calls_are_counted_and_do_not_run(self, rig: EngineRig):
        target = rig.add("hello")
        rig.engine.start()
        await rig.submit(target, delay_s=5)
        await rig.submit(target, delay_s=10)

        await rig.engine.stop(60)
        await rig.clock.advance(60)

        assert rig.engine.scheduler.pending == 2
        assert rig.settled() == {}

    async def test_idle_engine_stops_at_once(self, rig: EngineRig):
        await rig.invoke(rig.add("hello"))

        await rig.engine.stop(60)

        assert rig.driver.living == []

    async def test_second_stop_finds_nothing_to_do(self, rig: EngineRig):
        await rig.invoke(rig.add("hello"))

        await rig.engine.stop(0)
        await rig.engine.stop(60)

        assert rig.driver.living == []

    async def test_call_after_the_stop_starts_nothing(self, rig: EngineRig):
        """As one whose body was still on its way when everything else ended."""
        target = rig.add("hello")
        await rig.engine.stop(0)

        with pytest.raises(ApiError) as told:
            await rig.invoke(target)

        assert told.value.status == 503
        assert rig.driver.instances == []

    async def test_call_later_that_is_taken_as_the_stop_comes_still_has_its_grace(
        self, make_rig: MakeRig
    ):
        journal = StopsWhenClaimed()
        rig = make_rig(journal=journal)
        journal.rig = rig
        rig.engine.start()

        request_id = await rig.submit(rig.add("hello"))
        await rig.events.wait_for(JobSettled)
        assert journal.stopping is not None
        await journal.stopping

        assert rig.settled() == {request_id: Returned(b"event")}
        assert rig.driver.living == []


class StopsWhenClaimed(MemoryJournal):
    """Has the engine stopped in the very moment in which a job is taken."""

    rig: EngineRig | None = None
    stopping: asyncio.Task[None] | None = None

    async def claimed(self, seqs: Sequence[int]) -> list[Job]:
        assert self.rig is not None
        self.stopping = asyncio.ensure_future(self.rig.engine.stop(60))
        return await super().claimed(seqs)
