"""One attempt: whatever goes wrong, its end is a value, and it is told with its facts."""

import asyncio
import json

import pytest

from emulator.core.errors import ErrorCode
from emulator.core.outcome import FunctionFailed, Refused, Returned, SystemFailed, Throttled
from emulator.core.request import InvokeOptions, Reply, Request
from emulator.drivers.fake import Script, die, echo, hang
from emulator.engine.events import InvocationFinished
from emulator.engine.ports import InstanceDied, InstanceSpec, InstanceTimedOut, StartFailed
from tests.support.fakes import ACCOUNT, EngineRig, Gate, Size
from tests.unit.engine.conftest import MakeRig


async def test_result_is_told_with_all_facts(rig: EngineRig):
    async def answer(request: Request) -> Reply:
        return Reply(200, {}, request.payload, b"a line\n")

    target = rig.add("hello", Script(answer=answer, peak_mb=12.5))
    version = rig.code.save("hello")

    finished = await rig.invoke(target, b"42")

    assert finished.outcome == Returned(b"42", b"a line\n")
    assert finished.ref == target.ref
    assert finished.function == "hello"
    assert finished.instance == rig.driver.instances[0].id
    assert finished.checksum == version.checksum
    assert finished.peak_mb == 12.5
    assert rig.events.of(InvocationFinished) == [finished]


async def test_function_learns_who_calls_what(rig: EngineRig):
    target = rig.add("hello", timeout_s=7)
    options = InvokeOptions(span_context="a:b:0:1", span_baggages={"k": "v"})

    await rig.invoke(target, b"event", options)

    [request] = rig.driver.instances[0].requests
    assert (request.id, request.payload, request.timeout_s) == ("sync-1", b"event", 7.0)
    context = request.context
    assert context.function_name == "hello"
    assert context.service_name == ""
    assert context.handler == "index.handler"
    assert (context.memory_mb, context.timeout_s) == (128, 7)
    assert (context.region, context.account_id) == (ACCOUNT.region, ACCOUNT.account_id)
    assert context.qualifier == "LATEST"
    assert context.access_key_id == ACCOUNT.access_key_id
    assert context.access_key_secret == ACCOUNT.access_key_secret
    assert context.security_token == ACCOUNT.security_token
    assert context.span_context == "a:b:0:1"
    assert context.span_baggages == {"k": "v"}


async def test_only_the_first_call_of_an_instance_is_a_cold_start(rig: EngineRig):
    target = rig.add("hello")

    cold, warm = await rig.invoke(target), await rig.invoke(target)

    assert cold.cold_start
    assert cold.start_ms > 0
    assert not warm.cold_start
    assert warm.start_ms == 0
    assert cold.instance == warm.instance


async def test_time_of_the_start_is_told_apart_from_time_in_line(rig: EngineRig):
    gate = Gate()
    target = rig.add("hello", Script(starting=gate.passed))
    asyncio.get_running_loop().call_later(0.05, gate.open)

    finished = await rig.invoke(target)

    assert finished.start_ms >= 49
    assert finished.queued_ms < finished.start_ms
    assert finished.run_ms < finished.start_ms


async def test_error_that_the_function_reports_is_its_failure(rig: EngineRig):
    async def answer(request: Request) -> Reply:
        return Reply(417, {}, b'{"errorMessage":"no"}', b"log")

    finished = await rig.invoke(rig.add("hello", Script(answer=answer)))

    assert finished.outcome == FunctionFailed(
        "HandledInvocationError", b'{"errorMessage":"no"}', b"log"
    )
    assert rig.pools.counts("hello")["idle"] == 1


async def test_exit_while_busy_is_the_functions_failure_with_its_duration(rig: EngineRig):
    async def answer(request: Request) -> Reply:
        raise InstanceDied(log=b"last words\n", peak_mb=49.2)

    finished = await rig.invoke(rig.add("hello", Script(answer=answer)))

    assert isinstance(finished.outcome, FunctionFailed)
    assert finished.outcome.error_type == "UnhandledInvocationError"
    assert finished.outcome.log == b"last words\n"
    assert json.loads(finished.outcome.body) == {
        "errorMessage": "Process exited unexpectedly before completing request "
        f"(duration: {round(finished.run_ms)}ms, maxMemoryUsage: 49MB)"
    }
    assert finished.peak_mb == 49.2


async def test_call_after_an_exit_has_a_new_instance(rig: EngineRig):
    target = rig.add("hello", Script(answer=die))
    dead = await rig.invoke(target)
    rig.driver.scripts["hello"] = Script()

    finished = await rig.invoke(target)

    assert finished.outcome == Returned(b"event")
    assert finished.cold_start
    assert finished.instance != dead.instance


async def test_timeout_is_the_functions_failure_and_the_end_of_its_instance(rig: EngineRig):
    target = rig.add("hello", Script(answer=hang, peak_mb=112.24), timeout_s=1)
    loop = asyncio.get_running_loop()
    called = loop.time()

    finished = await rig.invoke(target)

    assert isinstance(finished.outcome, FunctionFailed)
    assert finished.outcome.error_type == "UnhandledInvocationError"
    assert json.loads(finished.outcome.body) == {
        "errorMessage": "Function timed out after 1 seconds (maxMemoryUsage: 112.24MB)"
    }
    assert finished.run_ms >= 990
    assert loop.time() - called < 2
    assert rig.driver.living == []


async def test_what_a_function_printed_before_its_timeout_is_kept(rig: EngineRig):
    async def answer(request: Request) -> Reply:
        raise InstanceTimedOut(log=b"where it was\n", peak_mb=11.25)

    finished = await rig.invoke(rig.add("hello", Script(answer=answer), timeout_s=3))

    assert isinstance(finished.outcome, FunctionFailed)
    assert finished.outcome.log == b"where it was\n"
    assert finished.peak_mb == 11.25


async def test_caller_without_an_instance_in_time_is_throttled(rig: EngineRig):
    gate = Gate()
    target = rig.add("hello", Script(starting=gate.passed), timeout_s=1)

    finished = await rig.invoke(target)

    assert finished.outcome == Throttled()
    assert (finished.instance, finished.checksum, finished.cold_start) == (None, None, False)
    assert finished.queued_ms >= 990
    assert (finished.start_ms, finished.run_ms) == (0, 0)
    gate.open()


async def test_time_in_line_is_not_the_functions_own(make_rig: MakeRig):
    """Neither counted as its run nor taken from what it may run."""
    rig = make_rig(Size(max_instances=1))
    gate = Gate()

    async def answer(request: Request) -> Reply:
        await gate.passed()
        return await echo(request)

    target = rig.add("hello", Script(answer=answer))
    first, second = rig.calling(target), rig.calling(target)
    await gate.reached()
    asyncio.get_running_loop().call_later(0.05, gate.open)

    waited = (await asyncio.gather(first, second))[1]

    assert waited.queued_ms >= 49
    assert waited.run_ms < waited.queued_ms
    assert waited.outcome == Returned(b"event")


@pytest.mark.parametrize("log", [b"", b"Traceback: no module\n"], ids=["silent", "with-output"])
async def test_start_that_the_function_spoils_is_its_failure(rig: EngineRig, log: bytes):
    async def starting(spec: InstanceSpec) -> None:
        raise StartFailed("it ended before it was ready", log=log, by_function=True)

    finished = await rig.invoke(rig.add("hello", Script(starting=starting)))

    assert isinstance(finished.outcome, FunctionFailed)
    assert finished.outcome.log == log
    assert b"Process exited unexpectedly before completing request" in finished.outcome.body
    assert finished.instance is None


async def test_start_that_the_machine_spoils_is_nobodys_failure(rig: EngineRig):
    async def starting(spec: InstanceSpec) -> None:
        raise StartFailed("no memory")

    finished = await rig.invoke(rig.add("hello", Script(starting=starting)))

    assert finished.outcome == SystemFailed("no memory")


async def test_what_starts_instances_may_be_away_for_now(rig: EngineRig):
    async def starting(spec: InstanceSpec) -> None:
        raise StartFailed("no engine", unavailable=True)

    finished = await rig.invoke(rig.add("hello", Script(starting=starting)))

    assert finished.outcome == SystemFailed("no engine", unavailable=True)


async def test_lack_of_memory_is_told_with_the_limit_of_the_function(rig: EngineRig):
    async def answer(request: Request) -> Reply:
        raise InstanceDied(log=b"", peak_mb=512.0, out_of_memory=True)

    target = rig.add("hello", Script(answer=answer))
    finished = await rig.invoke(target)

    assert isinstance(finished.outcome, FunctionFailed)
    limit = f"out of memory, the limit is {target.function.memory_size}MB"
    assert limit in json.loads(finished.outcome.body)["errorMessage"]


async def test_missing_code_is_nobodys_failure(rig: EngineRig):
    target = rig.add("hello")
    rig.code.missing.add("hello")

    finished = await rig.invoke(target)

    assert finished.outcome == SystemFailed("there is no code folder for hello")
    rig.code.missing.clear()
    assert (await rig.invoke(target)).outcome == Returned(b"event")


async def test_function_that_cannot_run_here_is_refused_with_the_reason(rig: EngineRig):
    target = rig.add("hello", cannot_run="runtime java11 is not emulated")

    finished = await rig.invoke(target)

    assert finished.outcome == Refused(ErrorCode.NOT_IMPLEMENTED, "runtime java11 is not emulated")
    assert rig.driver.instances == []


async def test_many_calls_of_many_ends_leave_nothing_behind(make_rig: MakeRig):
    """What one of them does to its instance is no other's business."""
    rig = make_rig(Size(max_instances=3))

    async def answer(request: Request) -> Reply:
        if request.payload == b"die":
            return await die(request)
        if request.payload == b"fail":
            return Reply(404, {}, b"{}")
        return await echo(request)

    target = rig.add("hello", Script(answer=answer))
    payloads = [b"die", b"fail", b"fine"] * 30
    calls = [rig.calling(target, payload) for payload in payloads]

    finished = await asyncio.gather(*calls)

    for payload, each in zip(payloads, finished, strict=True):
        if payload == b"fine":
            assert each.outcome == Returned(b"fine")
        else:
            assert isinstance(each.outcome, FunctionFailed)
    assert rig.driver.most_living <= 3 + 1, "one may end while its successor starts"
