"""Pools of functions: which code an instance runs, and the switch to new code."""

import asyncio

import pytest

from emulator.core.outcome import Returned, Throttled
from emulator.core.request import Reply, Request
from emulator.drivers.fake import Script, echo
from emulator.engine.events import CodeChanged, InstanceStopped, InvocationFinished
from emulator.engine.ports import CodeUnavailable
from tests.support.clock import settle
from tests.support.fakes import EngineRig, Gate, Size, a_deployment, a_function, a_target, all_done
from tests.unit.engine.conftest import MakeRig


def held_by(gate: Gate) -> Script:
    async def answer(request: Request) -> Reply:
        await gate.passed()
        return await echo(request)

    return Script(answer=answer)


async def test_instance_is_told_all_it_may_know_of_its_function(rig: EngineRig):
    target = rig.add("hello")
    version = rig.code.save("hello")

    await rig.invoke(target)

    [instance] = rig.driver.instances
    assert instance.spec.function_id == "hello"
    assert instance.spec.code == version
    assert instance.spec.runtime == target.deployment.runtime
    assert instance.spec.interpreter == target.deployment.interpreter
    assert instance.spec.env == {"FC_FUNCTION_NAME": "hello"}
    assert instance.spec.memory_mb == 128


async def test_instances_have_ids_of_their_own(rig: EngineRig):
    gate = Gate()
    target = rig.add("hello", held_by(gate))
    calls = [rig.calling(target) for _ in range(3)]
    await gate.reached(3)

    ids = {instance.id for instance in rig.driver.instances}

    assert len(ids) == 3
    assert all(id.startswith("c-") for id in ids)
    gate.open()
    await all_done(calls)


async def test_call_after_a_save_runs_the_new_code(rig: EngineRig):
    target = rig.add("hello")
    await rig.invoke(target)

    newer = rig.code.save("hello")
    finished = await rig.invoke(target)

    assert finished.checksum == newer.checksum
    assert finished.cold_start
    assert rig.events.of(CodeChanged) == [CodeChanged(function="hello", checksum=newer.checksum)]
    [stopped] = await rig.events.wait_for(InstanceStopped)
    assert stopped.reason == "reload"


async def test_running_call_finishes_on_the_old_code(rig: EngineRig):
    gate = Gate()
    target = rig.add("hello", held_by(gate))
    older = rig.code.save("hello")
    running = rig.calling(target, b"old")
    await gate.reached()

    rig.code.save("hello")
    other = rig.calling(target, b"new")
    await gate.reached(2)
    assert set(rig.code.in_use) == {"hello-v1", "hello-v2"}

    gate.open()
    finished = await running
    assert (finished.outcome, finished.checksum) == (Returned(b"old"), older.checksum)
    await other
    await rig.events.wait_for(InstanceStopped)
    await settle()
    assert set(rig.code.in_use) == {"hello-v2"}


async def test_caller_in_line_moves_to_the_new_code(make_rig: MakeRig):
    rig = make_rig(Size(max_instances=1))
    gate = Gate()
    target = rig.add("hello", held_by(gate))
    running = rig.calling(target, b"old")
    await gate.reached()
    waiting = rig.calling(target, b"waited")
    await settle()

    newer = rig.code.save("hello")
    rig.pools.code_changed("hello", newer)
    await gate.reached(2)

    gate.open()
    finished = await waiting
    assert (finished.outcome, finished.checksum) == (Returned(b"waited"), newer.checksum)
    await running


async def test_caller_who_moves_does_not_wait_longer_for_it(rig: EngineRig):
    """The time-out counts from the call, whatever line the caller stands in."""
    gate = Gate()
    target = rig.add("hello", Script(starting=gate.passed), timeout_s=1)
    loop = asyncio.get_running_loop()
    loop.call_later(0.6, lambda: rig.pools.code_changed("hello", rig.code.save("hello")))
    called = loop.time()

    finished = await rig.invoke(target)

    assert finished.outcome == Throttled()
    assert 0.99 < loop.time() - called < 1.5
    assert gate.arrived == 2
    gate.open()


async def test_start_of_old_code_is_never_lent(rig: EngineRig):
    gate = Gate()
    target = rig.add("hello", Script(starting=gate.passed))
    call = rig.calling(target)
    await gate.reached()

    newer = rig.code.save("hello")
    rig.pools.code_changed("hello", newer)
    gate.open()

    assert (await call).checksum == newer.checksum
    old, new = rig.driver.instances
    assert (len(old.requests), len(new.requests)) == (0, 1)


async def test_same_code_is_no_change(rig: EngineRig):
    target = rig.add("hello")
    version = rig.code.save("hello")
    await rig.invoke(target)

    rig.pools.code_changed("hello", version)
    await rig.invoke(target)

    assert rig.events.of(CodeChanged) == []
    assert len(rig.driver.instances) == 1


async def test_change_of_code_that_never_ran_is_not_told(rig: EngineRig):
    rig.add("hello")

    rig.pools.code_changed("hello", rig.code.save("hello"))

    assert rig.events.all == []


async def test_new_configuration_gets_new_instances(rig: EngineRig):
    rig.code.save("hello")
    function = a_function("hello")
    first = await rig.invoke(a_target(a_deployment(function)))

    second = await rig.invoke(a_target(a_deployment(function, interpreter="/opt/python3")))

    assert first.instance != second.instance
    assert first.checksum == second.checksum
    assert rig.events.of(CodeChanged) == []
    assert rig.driver.instances[-1].spec.interpreter == "/opt/python3"


async def test_functions_do_not_share_instances(rig: EngineRig):
    one, other = await rig.invoke(rig.add("one")), await rig.invoke(rig.add("other"))

    assert one.instance != other.instance


async def test_missing_code_is_told_to_the_caller(rig: EngineRig):
    target = rig.add("hello")
    rig.code.missing.add("hello")

    with pytest.raises(CodeUnavailable, match="no code folder for hello"):
        async with rig.pools.lease(target, timeout_s=1):
            pass


async def test_counts_and_checksum_are_those_of_the_current_code(rig: EngineRig):
    gate = Gate()
    target = rig.add("hello", held_by(gate))
    assert rig.pools.checksum("hello") is None
    assert rig.pools.counts("hello") == {"idle": 0, "busy": 0, "starting": 0}

    version = rig.code.save("hello")
    call = rig.calling(target)
    await gate.reached()
    assert rig.pools.checksum("hello") == version.checksum
    assert rig.pools.counts("hello") == {"idle": 0, "busy": 1, "starting": 0}

    rig.pools.code_changed("hello", rig.code.save("hello"))
    assert rig.pools.counts("hello") == {"idle": 0, "busy": 0, "starting": 0}

    gate.open()
    await call


async def test_capacity_is_the_limit_and_what_still_runs_on_old_code(make_rig: MakeRig):
    rig = make_rig(Size(max_instances=2))
    gate = Gate()
    target = rig.add("hello", held_by(gate))
    other = rig.calling(rig.add("other", held_by(gate)))
    call = rig.calling(target)
    await gate.reached(2)
    assert rig.pools.capacity("hello") == 2

    rig.pools.code_changed("hello", rig.code.save("hello"))

    assert rig.pools.capacity("hello") == 3
    assert rig.pools.capacity("other") == 2
    gate.open()
    await all_done([call, other])
    assert rig.pools.capacity("hello") == 2


async def test_reload_under_load_loses_no_call(make_rig: MakeRig):
    """Saves come while callers wait, run and arrive."""
    rig = make_rig(Size(max_instances=2))
    target = rig.add("hello")
    calls = []
    for n in range(60):
        calls.append(rig.calling(target, b"%d" % n))
        await settle(n % 4)
        if n % 7 == 0:
            rig.pools.code_changed("hello", rig.code.save("hello"))

    finished = await all_done(calls)

    assert [each.outcome for each in finished] == [Returned(b"%d" % n) for n in range(60)]
    assert len(rig.events.of(InvocationFinished)) == 60


async def test_close_ends_what_is_current_and_what_is_leaving(rig: EngineRig):
    gate = Gate()
    target = rig.add("hello", held_by(gate))
    old = rig.calling(target)
    await gate.reached()
    rig.code.save("hello")
    new = rig.calling(target)
    await gate.reached(2)

    await rig.pools.close()

    assert rig.driver.living == []
    assert dict(rig.code.in_use) == {}
    await all_done([old, new])
