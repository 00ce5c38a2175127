"""What every InstanceDriver promises, shown on the fake one and on real processes."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emulator.core.request import Reply, Request
from emulator.drivers.docker import connect
from emulator.drivers.fake import FakeDriver, Script, die, hang
from emulator.engine.events import Event, LogLine
from emulator.engine.ports import (
    CodeVersion,
    Instance,
    InstanceDied,
    InstanceDriver,
    InstanceSpec,
    InstanceTimedOut,
    StartFailed,
)
from emulator.specs import load_runtimes, shipped
from emulator.state import open_state
from emulator.wiring.docker_driver import docker_driver
from emulator.wiring.drivers import process_driver
from emulator.wiring.inside import Inside
from tests.support.docker_engine import containers_with, engine_or_skip, networks_with
from tests.support.fakes import a_request, a_spec

SOURCE = """
import os, time

def handler(event, context):
    print("handling", event.decode())
    if event == b"die":
        os._exit(3)
    if event == b"hang":
        time.sleep(1000)
    if event == b"raise":
        raise ValueError("told to")
    return event
"""


async def scripted(request: Request) -> Reply:
    """Do in memory what the source does in a process."""
    if request.payload == b"die":
        return await die(request)
    if request.payload == b"hang":
        return await hang(request)
    if request.payload == b"raise":
        return Reply(404, {}, b'{"errorMessage": "told to"}')
    return Reply(200, {}, request.payload, b"handling " + request.payload + b"\n")


class Bench:
    """A driver with a function that it can run, and what its instances printed."""

    def __init__(self, driver: InstanceDriver, spec: InstanceSpec) -> None:
        self.driver = driver
        self.spec = spec
        self.events: list[Event] = []

    async def start(self, instance_id: str = "c-1", **changes: Any) -> Instance:
        """Start an instance of the function."""
        return await self.driver.start(replace(self.spec, instance_id=instance_id, **changes))


@pytest.fixture(params=["fake", "process", pytest.param("docker", marks=pytest.mark.docker)])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """Each implementation in turn; a closed driver leaves no process."""
    if request.param == "fake":
        fake = FakeDriver()
        fake.scripts["hello"] = Script(answer=scripted)
        fake.scripts["broken"] = Script(starting=refuse)
        yield Bench(fake, a_spec())
        await fake.close()
        assert fake.living == []
        return
    code = tmp_path / "code"
    code.mkdir()
    (code / "index.py").write_text(SOURCE)
    with tempfile.TemporaryDirectory(prefix="fc-", dir="/tmp") as short:
        state = open_state(tmp_path / "state")
        events: list[Event] = []
        runtime = load_runtimes(shipped("runtimes"))["python3"]
        driver: InstanceDriver
        if request.param == "docker":
            runtime = replace(runtime, image=engine_or_skip())
            engine = connect(os.environ)
            environ = {**os.environ, "XDG_RUNTIME_DIR": short}
            driver = docker_driver(state, environ, events.append, engine, Inside())
        else:
            driver = process_driver(state, {"XDG_RUNTIME_DIR": short}, events.append)
        made = Bench(
            driver,
            replace(
                a_spec(),
                runtime=runtime,
                interpreter=runtime.program if request.param == "docker" else sys.executable,
                code=CodeVersion("v1", str(code), "/home/dev/project", "1"),
            ),
        )
        made.events = events
        yield made
        await made.driver.close()
        state.release()
        assert living_with(state.uuid) == []
        if request.param == "docker":
            assert containers_with(f"fc-emu.instance={state.uuid}") == []
            assert networks_with(f"fc-emu.instance={state.uuid}") == []


async def refuse(spec: InstanceSpec) -> None:
    """Fail to start."""
    raise StartFailed("told to fail", by_function=True)


def living_with(tag: str) -> list[int]:
    """Processes that carry a state's tag."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"FC_EMU_TAG={tag}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


async def test_an_instance_answers_and_is_fit_for_more(bench: Bench) -> None:
    """Its output is in the answer, whole, each time."""
    instance = await bench.start()

    for number in range(20):
        payload = str(number).encode()
        reply = await instance.exchange(a_request(payload))
        assert (reply.status, reply.body) == (200, payload)
        assert b"handling " + payload + b"\n" in reply.log
        assert instance.reusable


async def test_a_failed_call_leaves_the_instance_fit(bench: Bench) -> None:
    """An exception of the function is an answer like any other."""
    instance = await bench.start()

    failed = await instance.exchange(a_request(b"raise"))

    assert failed.status == 404
    assert b"told to" in failed.body
    assert (await instance.exchange(a_request(b"again"))).body == b"again"


async def test_usage_is_known_or_absent_and_never_invented(bench: Bench) -> None:
    """None or more than nothing."""
    instance = await bench.start()
    await instance.exchange(a_request(b"x"))

    peak_mb = (await instance.usage()).peak_mb

    assert peak_mb is None or peak_mb > 1


async def test_an_instance_that_ends_fails_its_call_at_once(bench: Bench) -> None:
    """It is gone and unfit; another one is none the worse."""
    dying, other = await bench.start("c-1"), await bench.start("c-2")

    async with asyncio.timeout(5):
        with pytest.raises(InstanceDied):
            await dying.exchange(a_request(b"die"))
        status = await dying.wait()

    assert status is None or status > 0, "the status that it gave, if any"
    assert not dying.reusable
    assert (await other.exchange(a_request(b"x"))).body == b"x"


async def test_a_call_past_its_time_ends_the_instance_within_two_seconds(bench: Bench) -> None:
    """The instance is gone when the caller hears of it."""
    instance = await bench.start()
    begun = asyncio.get_running_loop().time()

    with pytest.raises(InstanceTimedOut):
        await instance.exchange(replace(a_request(b"hang"), timeout_s=0.3))

    assert 0.3 <= asyncio.get_running_loop().time() - begun < 2.3
    assert not instance.reusable
    async with asyncio.timeout(1):
        await instance.wait()


async def test_a_call_that_is_given_up_leaves_the_instance_unfit(bench: Bench) -> None:
    """What it does with the rest of the request nobody knows."""
    instance = await bench.start()
    call = asyncio.ensure_future(instance.exchange(a_request(b"hang")))
    await asyncio.wait({call}, timeout=0.1)

    call.cancel()
    await asyncio.wait({call})

    assert call.cancelled()
    assert not instance.reusable
    await instance.stop(grace_s=0)


async def test_stop_returns_when_it_is_gone_and_may_be_called_twice(bench: Bench) -> None:
    """Also for an instance that is gone already."""
    instance = await bench.start()

    await instance.stop(grace_s=1)
    await instance.stop(grace_s=0)

    async with asyncio.timeout(1):
        await instance.wait()
    assert not instance.reusable
    with pytest.raises(InstanceDied):
        await instance.exchange(a_request(b"x"))


async def test_closing_the_driver_ends_every_instance_and_no_more_start(bench: Bench) -> None:
    """Busy ones too."""
    idle, busy = await bench.start("c-1"), await bench.start("c-2")
    call = asyncio.ensure_future(busy.exchange(a_request(b"hang")))
    await asyncio.wait({call}, timeout=0.1)

    await bench.driver.close()

    async with asyncio.timeout(5):
        await asyncio.gather(idle.wait(), busy.wait())
        await asyncio.wait({call})
    assert isinstance(call.exception(), InstanceDied)
    with pytest.raises(StartFailed):
        await bench.start("c-3")


async def test_a_start_that_fails_leaves_nothing(bench: Bench) -> None:
    """The driver says so and can go on."""
    changes: dict[str, Any] = {"function_id": "broken"}
    if bench.driver.name != "fake":
        changes = {"interpreter": "/bin/false"}

    with pytest.raises(StartFailed) as caught:
        await bench.start(**changes)

    assert caught.value.by_function
    fine = await bench.start("c-2")
    assert (await fine.exchange(a_request(b"x"))).body == b"x"


async def test_many_start_at_once(bench: Bench) -> None:
    """Each answers for itself."""
    instances = await asyncio.gather(*(bench.start(f"c-{number}") for number in range(8)))

    replies = await asyncio.gather(
        *(one.exchange(a_request(str(i).encode())) for i, one in enumerate(instances))
    )

    assert [reply.body for reply in replies] == [str(i).encode() for i in range(8)]
    assert len({one.id for one in instances}) == 8


@pytest.mark.parametrize("bench", ["process"], indirect=True)
async def test_an_interpreter_that_is_not_there_is_the_machines_fault(bench: Bench) -> None:
    """The text names it."""
    with pytest.raises(StartFailed) as caught:
        await bench.start(interpreter="/no/such/python")

    assert not caught.value.by_function
    assert "/no/such/python" in str(caught.value)


@pytest.mark.parametrize("bench", ["process"], indirect=True)
async def test_the_code_folder_reads_code_in_answers_and_the_users_own_in_lines(
    bench: Bench,
) -> None:
    """The store's path is nobody's business."""
    instance = await bench.start()

    failed = await instance.exchange(a_request(b"raise"))

    lines = [event.text for event in bench.events if isinstance(event, LogLine)]
    assert b'File "/code/index.py"' in failed.log
    assert any('File "/home/dev/project/index.py"' in line for line in lines)
    assert bench.spec.code.folder.encode() not in failed.log + failed.body
    assert not any(bench.spec.code.folder in line for line in lines)


@pytest.mark.parametrize("bench", ["process"], indirect=True)
async def test_a_process_has_an_environment_built_from_nothing(bench: Bench) -> None:
    """Nothing of ours but what it is to have; search paths as they make sense here."""
    code = Path(bench.spec.code.folder)
    (code / "bin").mkdir()
    (code / "env.py").write_text(
        "import os, json\n\ndef handler(event, context):\n    return dict(os.environ)\n"
    )
    os.environ["FC_EMU_TEST_SECRET"] = "not for functions"
    instance = await bench.start(env={"PATH": "/code/bin:/not/there", "OWN": "yes", "TZ": "Asia/X"})
    request = a_request(b"")

    reply = await instance.exchange(
        replace(request, context=replace(request.context, handler="env.handler"))
    )
    del os.environ["FC_EMU_TEST_SECRET"]

    seen = json.loads(reply.body)
    assert seen["OWN"] == "yes"
    assert seen["TZ"] == "Asia/X"
    assert seen["LANG"] == "C.UTF-8"
    assert seen["PATH"].startswith(f"{code}/bin:/usr/local/sbin:")
    assert "/not/there" not in seen["PATH"]
    assert seen["HOME"] == seen["TMPDIR"] != os.path.expanduser("~")  # noqa: PTH111 - a string
    assert seen["FC_FUNC_CODE_PATH"] == str(code)
    assert not [name for name in seen if name.startswith("_FC_") or "SECRET" in name]
    assert not Path(seen["HOME"], "missing").exists()
