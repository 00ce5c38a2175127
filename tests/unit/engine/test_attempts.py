"""One attempt, whatever becomes of it, and what the pools tell about themselves."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from emulator.core.errors import ErrorCode
from emulator.core.outcome import FunctionFailed, Refused, Returned, SystemFailed, Throttled
from emulator.core.request import Reply, Request
from emulator.drivers.fake import Script, hang
from emulator.engine.events import CodeChanged
from emulator.engine.ports import InstanceDied, InstanceSpec, InstanceTimedOut, StartFailed
from emulator.engine.registry import find
from emulator.engine.views import counts, function_item, health
from tests.support.clock import settle
from tests.support.fakes import EngineRig, Gate, Size, all_done


@pytest.fixture
async def rig() -> AsyncIterator[EngineRig]:
    """An engine of one instance a function; nothing may be left of it."""
    rig = EngineRig(Size(max_instances=1))
    yield rig
    await rig.close()


def raising(error: Exception) -> Callable[[object], Awaitable[Reply]]:
    """Make a script's coroutine that raises."""

    async def act(_: object) -> Reply:
        raise error

    return act


def starting(error: StartFailed) -> Callable[[InstanceSpec], Awaitable[None]]:
    """Make a start that fails."""

    async def start(_: InstanceSpec) -> None:
        raise error

    return start


async def test_a_function_that_runs_out_of_time_is_told_with_its_limit_and_its_peak(
    rig: EngineRig,
) -> None:
    """The service's text."""
    late = InstanceTimedOut(log=b"stack", peak_mb=11.25)
    target = rig.add("slow", Script(answer=raising(late)), timeout_s=3)

    finished = await rig.invoke(target)

    assert finished.outcome == FunctionFailed(
        "UnhandledInvocationError",
        b'{"errorMessage":"Function timed out after 3 seconds (maxMemoryUsage: 11.25MB)"}',
        b"stack",
    )
    assert finished.peak_mb == 11.25


async def test_an_instance_that_ends_is_told_with_its_duration(rig: EngineRig) -> None:
    """The log is what it had printed."""
    target = rig.add("dying", Script(answer=raising(InstanceDied(log=b"last", peak_mb=9.0))))

    finished = await rig.invoke(target)

    assert isinstance(finished.outcome, FunctionFailed)
    assert finished.outcome.body.startswith(
        b'{"errorMessage":"Process exited unexpectedly before completing request (duration: '
    )
    assert b", maxMemoryUsage: 9MB)" in finished.outcome.body
    assert finished.outcome.log == b"last"


async def test_a_start_that_the_function_spoils_is_the_functions_failure(rig: EngineRig) -> None:
    """As if it had ended during the call."""
    spoiled = StartFailed("ended with status 1", log=b"why", by_function=True)
    target = rig.add("spoiled", Script(starting=starting(spoiled)))

    finished = await rig.invoke(target)

    assert isinstance(finished.outcome, FunctionFailed)
    assert b"Process exited unexpectedly" in finished.outcome.body
    assert finished.outcome.log == b"why"
    assert finished.instance is None


async def test_a_start_that_the_machine_spoils_is_not(rig: EngineRig) -> None:
    """The reason is for the caller."""
    target = rig.add("unlucky", Script(starting=starting(StartFailed("no processes left"))))

    finished = await rig.invoke(target)

    assert finished.outcome == SystemFailed("no processes left")


async def test_code_that_is_not_there_is_told(rig: EngineRig) -> None:
    """And found again when it is back."""
    target = rig.add("hello")
    rig.code.missing.add("hello")

    gone = await rig.invoke(target)
    rig.code.missing.clear()
    back = await rig.invoke(target)

    assert gone.outcome == SystemFailed("there is no code folder for hello")
    assert back.outcome == Returned(b"event")


async def test_a_function_that_cannot_run_here_is_refused_unstarted(rig: EngineRig) -> None:
    """With the sentence of its deployment."""
    target = rig.add("java", cannot_run="there is no java")

    finished = await rig.invoke(target)

    assert finished.outcome == Refused(ErrorCode.NOT_IMPLEMENTED, "there is no java")
    assert rig.driver.instances == []


async def test_a_caller_in_line_for_longer_than_the_timeout_is_throttled(rig: EngineRig) -> None:
    """The one in front goes on."""
    gate = Gate()

    async def answer(request: Request) -> Reply:
        await gate.passed()
        return Reply(200, {}, request.payload)

    target = rig.add("busy", Script(answer=answer), timeout_s=1)
    first = rig.calling(target, b"first")
    await gate.reached()

    second = await rig.invoke(target, b"second")
    gate.open()

    assert second.outcome == Throttled()
    assert second.queued_ms >= 1000
    assert first.done() or (await all_done([first]))


async def test_a_call_finds_code_that_was_saved_before_it(rig: EngineRig) -> None:
    """The instance of the old code ends; the change is told once."""
    target = rig.add("hello")
    old = await rig.invoke(target)
    version = rig.code.save("hello")

    new = await rig.invoke(target)
    rig.pools.code_changed("hello", version)
    rig.pools.code_changed("unknown", version)

    assert new.instance != old.instance
    assert new.checksum == version.checksum
    assert rig.events.of(CodeChanged) == [CodeChanged(function="hello", checksum=version.checksum)]


async def test_a_caller_in_line_when_code_is_saved_gets_the_new_code(rig: EngineRig) -> None:
    """It does not wait for the call that runs on the old."""
    gate = Gate()

    async def answer(request: Request) -> Reply:
        if request.payload == b"first":
            await gate.passed()
        return Reply(200, {}, request.payload)

    target = rig.add("hello", Script(answer=answer))
    first = rig.calling(target, b"first")
    await gate.reached()
    second = rig.calling(target, b"second")
    await settle()

    version = rig.code.save("hello")
    rig.pools.code_changed("hello", version)
    (moved,) = await all_done([second])
    gate.open()
    (stayed,) = await all_done([first])

    assert moved.checksum == version.checksum
    assert stayed.checksum != version.checksum
    assert moved.outcome == Returned(b"second")
    assert stayed.outcome == Returned(b"first")


async def test_a_stop_waits_for_a_running_call_and_no_longer(rig: EngineRig) -> None:
    """The caller has its answer."""
    gate = Gate()

    async def answer(request: Request) -> Reply:
        await gate.passed()
        return Reply(200, {}, request.payload)

    target = rig.add("hello", Script(answer=answer))
    running = rig.calling(target)
    await gate.reached()
    stopping = asyncio.ensure_future(rig.engine.stop(60))
    await settle()

    gate.open()
    (finished,) = await all_done([running])
    await all_done([stopping])

    assert finished.outcome == Returned(b"event")


async def test_pools_tell_their_instances_and_their_code(rig: EngineRig) -> None:
    """Nothing is known of a function that never ran."""
    target = rig.add("hello")
    before = rig.pools.counts("hello"), rig.pools.checksum("hello")
    finished = await rig.invoke(target)

    assert before == ({"idle": 0, "busy": 0, "starting": 0}, None)
    assert rig.pools.counts("hello") == {"idle": 1, "busy": 0, "starting": 0}
    assert rig.pools.checksum("hello") == finished.checksum


async def test_views_show_what_there_is(rig: EngineRig) -> None:
    """As the admin API gives them."""
    target = rig.add("hello", Script(answer=hang))
    running = rig.calling(target)
    await rig.submit(target, delay_s=60)
    await settle()
    item = function_item(rig.engine, target.deployment, driver="fake", url="http://x")

    assert health(rig.engine)["status"] == "ready"
    assert counts(rig.engine) == {"functions": 1, "running": 1, "pending": 1}
    assert item["id"] == "hello"
    assert item["driver"] == "fake"
    assert item["url"] == "http://x"
    assert rig.engine.now() == rig.clock.now()
    await rig.engine.stop(0)
    assert health(rig.engine)["status"] == "stopping"
    assert running.exception() is not None


async def test_a_function_is_found_by_its_id_in_either_form(rig: EngineRig) -> None:
    """None where there is none."""
    target = rig.add("hello")

    assert find(rig.registry, "hello") is target.deployment
    assert find(rig.registry, "default/hello") is target.deployment
    assert find(rig.registry, "missing") is None
