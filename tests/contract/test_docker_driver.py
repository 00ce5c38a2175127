"""What the Docker driver promises beyond what every driver does, on real containers."""

import asyncio
import json
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emulator.core.request import Request
from emulator.drivers.containers import DockerDriver
from emulator.drivers.docker import connect
from emulator.engine.events import Event, LogLine
from emulator.engine.ports import CodeVersion, Instance, InstanceDied, InstanceSpec, StartFailed
from emulator.specs import load_runtimes, shipped
from emulator.state import State, open_state
from emulator.wiring.docker_driver import docker_driver
from emulator.wiring.inside import Inside
from tests.support.docker_engine import containers_with, engine_or_skip, inspect, networks_with
from tests.support.fakes import a_request, a_spec

pytestmark = pytest.mark.docker

SOURCE = """
import errno, json, os, socket, subprocess, sys, time

KEPT = []

def eat(event, context):
    KEPT.append(b"x" * (int(event) * 1024 * 1024))
    return "ate"

def hang(event, context):
    time.sleep(1000)

def run(event, context):
    done = subprocess.run(["sh", "-c", event.decode()], stdout=-1, stderr=-2)
    return {"status": done.returncode, "text": done.stdout.decode()}

def fork(event, context):
    children = []
    try:
        while len(children) < 2000:
            child = os.fork()
            if child == 0:
                time.sleep(60)
                os._exit(0)
            children.append(child)
    except OSError as error:
        return {"error": errno.errorcode[error.errno], "children": len(children)}
    finally:
        for child in children:
            os.kill(child, 9)
            os.waitpid(child, 0)

def open_files(event, context):
    opened = []
    try:
        while len(opened) < 200000:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        return {"error": errno.errorcode[error.errno], "opened": len(opened)}
    finally:
        for descriptor in opened:
            os.close(descriptor)

def leave(event, context):
    subprocess.Popen(["sleep", "300"], start_new_session=True)
    return "left"

def write_code(event, context):
    open("/code/new", "w")

def speak(event, context):
    print("/code/index.py and /opt/code/index.py")
"""


class Bench:
    """A driver on the engine of this machine, and a function for it."""

    def __init__(self, driver: DockerDriver, spec: InstanceSpec, state: State) -> None:
        self.driver = driver
        self.spec = spec
        self.state = state
        self.events: list[Event] = []

    async def start(self, instance_id: str = "c-1", **changes: Any) -> Instance:
        """Start an instance of the function."""
        return await self.driver.start(replace(self.spec, instance_id=instance_id, **changes))

    def containers(self) -> list[str]:
        """The containers of this driver."""
        return containers_with(f"fc-emu.instance={self.state.uuid}")


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A driver; closed, it leaves no container."""
    image = engine_or_skip()
    code = tmp_path / "code"
    code.mkdir()
    (code / "index.py").write_text(SOURCE)
    with tempfile.TemporaryDirectory(prefix="fc-", dir="/tmp") as short:
        state = open_state(tmp_path / "state")
        events: list[Event] = []
        environ = {**os.environ, "XDG_RUNTIME_DIR": short}
        runtime = replace(load_runtimes(shipped("runtimes"))["python3"], image=image)
        spec = replace(
            a_spec(),
            runtime=runtime,
            interpreter=runtime.program,
            code=CodeVersion("v1", str(code), "/home/dev/project", "1"),
        )
        driver = docker_driver(state, environ, events.append, connect(os.environ), Inside())
        made = Bench(driver, spec, state)
        made.events = events
        yield made
        await driver.close()
        state.release()
        assert made.containers() == []


def call(handler: str, payload: bytes = b"") -> Request:
    """A request for one of the functions above."""
    request = a_request(payload)
    return replace(request, context=replace(request.context, handler=f"index.{handler}"))


async def ask(instance: Instance, handler: str, payload: bytes = b"") -> Any:
    """Invoke and read JSON."""
    reply = await instance.exchange(call(handler, payload))
    assert reply.status == 200, reply.body
    return json.loads(reply.body)


async def test_limits_and_permissions_are_those_of_the_table(bench: Bench) -> None:
    """As `docker inspect` shows them; the figures are the contract's, not the driver's."""
    await bench.start(memory_mb=256)

    found = inspect(bench.containers()[0])
    host = found["HostConfig"]
    assert host["Init"] is True
    assert host["Memory"] == host["MemorySwap"] == 256 * 1024 * 1024
    assert host["PidsLimit"] == 1024
    limits = {limit["Name"]: (limit["Soft"], limit["Hard"]) for limit in host["Ulimits"]}
    assert limits["core"] == (0, 0)
    assert limits["nofile"][0] == limits["nofile"][1] <= 100_000
    assert host["CapDrop"] == ["ALL"]
    assert {name.removeprefix("CAP_") for name in host["CapAdd"]} == {
        "CHOWN", "DAC_OVERRIDE", "FOWNER", "SETUID", "SETGID", "KILL",
    }  # fmt: skip
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Privileged"] is False
    assert host["ReadonlyRootfs"] is False
    assert not host["Devices"]
    assert not host["PortBindings"]
    assert host["PidMode"] == ""
    assert host["UTSMode"] == ""
    assert host["IpcMode"] in ("private", "shareable")
    assert host["RestartPolicy"]["Name"] == "no"
    assert host["LogConfig"]["Config"] == {"max-size": "1m", "max-file": "2"}
    mounts = {mount["Destination"]: mount for mount in found["Mounts"]}
    assert mounts["/code"]["RW"] is False
    assert [place for place, mount in mounts.items() if mount["RW"]] == ["/var/fc-emu/run"]
    assert not any("docker.sock" in mount["Source"] for mount in mounts.values())
    network = subprocess.check_output(["docker", "network", "inspect", host["NetworkMode"]])
    bridge = json.loads(network)[0]
    assert bridge["Options"]["com.docker.network.bridge.enable_icc"] == "false"
    assert bridge["Labels"]["fc-emu.instance"] == bench.state.uuid


async def test_memory_of_a_call_is_what_the_kernel_counts(bench: Bench) -> None:
    """A handler that touches 100 MB moves it by 100 MB, give or take 20."""
    instance = await bench.start(memory_mb=512)
    await instance.exchange(call("eat", b"1"))
    before = (await instance.usage()).peak_mb

    assert (await instance.exchange(call("eat", b"100"))).body == b"ate"

    after = (await instance.usage()).peak_mb
    assert before is not None and after is not None
    assert 80 <= after - before <= 120


async def test_more_memory_than_the_limit_is_told_as_that_and_swap_is_not_used(
    bench: Bench,
) -> None:
    """The instance is gone; a bystander is none the worse."""
    eater, bystander = await bench.start("c-1", memory_mb=128), await bench.start("c-2")

    with pytest.raises(InstanceDied) as caught:
        await eater.exchange(call("eat", b"300"))

    assert caught.value.out_of_memory
    assert caught.value.peak_mb == 128
    assert not eater.reusable
    assert (await bystander.exchange(call("eat", b"1"))).body == b"ate"


async def test_forks_without_end_meet_the_limit_inside(bench: Bench) -> None:
    """EAGAIN in the instance, and nothing outside."""
    instance = await bench.start(memory_mb=1024)

    told = await ask(instance, "fork")

    assert told["error"] == "EAGAIN"
    assert 900 < told["children"] < 1024
    assert (await instance.exchange(call("eat", b"1"))).body == b"ate"


async def test_open_files_without_end_meet_the_limit_inside(bench: Bench) -> None:
    """EMFILE in the instance."""
    instance = await bench.start()

    told = await ask(instance, "open_files")

    assert told["error"] == "EMFILE"
    assert told["opened"] <= 100_000


async def test_a_process_left_behind_does_not_hold_the_call_and_goes_with_the_container(
    bench: Bench,
) -> None:
    """The answer comes at once."""
    instance = await bench.start()

    assert (await instance.exchange(call("leave"))).body == b"left"
    await instance.stop(grace_s=0)

    assert bench.containers() == []


async def test_code_cannot_be_written_and_what_needs_privileges_is_refused(bench: Bench) -> None:
    """Root in the container is not root of the machine."""
    instance = await bench.start()

    reply = await instance.exchange(call("write_code"))
    made = await ask(instance, "run", b"mknod /tmp/disk b 8 0; mount -t tmpfs none /mnt")

    assert reply.status == 404
    assert json.loads(reply.body)["errorType"] == "OSError"
    assert "Read-only file system" in json.loads(reply.body)["errorMessage"]
    assert made["status"] != 0
    assert "not permitted" in made["text"]


async def test_instances_do_not_reach_each_other(bench: Bench) -> None:
    """Neither by address nor by name."""
    first, second = await bench.start("c-1"), await bench.start("c-2")
    serve = "import socket; s = socket.create_server(('', 7000)); s.accept()"
    started = await ask(
        first, "run", f'python3 -c "{serve}" > /dev/null 2>&1 & hostname -I'.encode()
    )
    address = started["text"].strip()
    connect_to = f"import socket; socket.create_connection(('{address}', 7000), 1)"

    tried = await ask(second, "run", f'python3 -c "{connect_to}"'.encode())

    assert tried["status"] != 0
    assert "TimeoutError" in tried["text"]


async def test_a_container_killed_in_a_call_fails_it_at_once(bench: Bench) -> None:
    """By whomever."""
    instance = await bench.start()
    calling = asyncio.ensure_future(instance.exchange(call("hang")))
    await asyncio.wait({calling}, timeout=0.2)
    container = bench.containers()[0]

    await asyncio.to_thread(subprocess.run, ["docker", "kill", container], check=True)

    async with asyncio.timeout(2):
        with pytest.raises(InstanceDied) as caught:
            await calling
    assert not caught.value.out_of_memory
    assert await instance.wait() == 137


async def test_an_idle_container_that_is_removed_is_known_to_be_gone(bench: Bench) -> None:
    """It is lent to nobody."""
    instance = await bench.start()
    container = bench.containers()[0]

    await asyncio.to_thread(subprocess.run, ["docker", "rm", "-f", container], check=True)

    async with asyncio.timeout(5):
        await instance.wait()
    assert not instance.reusable


async def test_a_missing_image_is_named_within_a_second_and_not_pulled(bench: Bench) -> None:
    """With what to do; others start."""
    runtime = replace(bench.spec.runtime, image="fc-emu-test/missing:1")
    await bench.start("c-1")

    async with asyncio.timeout(1):
        with pytest.raises(StartFailed) as caught:
            await bench.start("c-2", runtime=runtime)

    assert "fc-emu-test/missing:1" in str(caught.value)
    assert "fc-emu images pull python3" in str(caught.value)
    assert not caught.value.by_function
    assert not caught.value.unavailable


async def test_a_network_that_somebody_removed_is_made_again(bench: Bench) -> None:
    """By the start after the one that finds out."""
    await (await bench.start("c-1")).stop(grace_s=0)
    network = networks_with(f"fc-emu.instance={bench.state.uuid}")[0]
    await asyncio.to_thread(subprocess.run, ["docker", "network", "rm", network], check=True)

    with pytest.raises(StartFailed) as caught:
        await bench.start("c-2")
    instance = await bench.start("c-3")

    assert "network" in str(caught.value)
    assert (await instance.exchange(call("eat", b"1"))).body == b"ate"


async def test_an_interpreter_missing_in_the_image_is_the_engines_word(bench: Bench) -> None:
    """The program is named, and nothing is left."""
    with pytest.raises(StartFailed) as caught:
        await bench.start(interpreter="no-such-python")

    assert "no-such-python cannot be run in image fc-emu-test/python:1" in str(caught.value)
    assert not caught.value.by_function
    assert bench.containers() == []


async def test_an_image_without_a_shell_works_too(bench: Bench) -> None:
    """Only the limit of open files is then the engine's own."""
    image = "fc-emu-test/python-no-shell:1"
    await asyncio.to_thread(
        subprocess.run,
        ["docker", "build", "-q", "-t", image, "-"],
        input=f'FROM {bench.spec.runtime.image}\nRUN ["/bin/rm", "/bin/sh"]\n'.encode(),
        check=True,
        stdout=subprocess.DEVNULL,
    )

    instance = await bench.start(runtime=replace(bench.spec.runtime, image=image))

    assert (await instance.exchange(call("eat", b"1"))).body == b"ate"


async def test_an_image_of_another_user_works_too(bench: Bench, tmp_path: Path) -> None:
    """Socket and pipe are open to whatever user the instance runs as."""
    image = "fc-emu-test/python-nobody:1"
    await asyncio.to_thread(
        subprocess.run,
        ["docker", "build", "-q", "-t", image, "-"],
        input=f"FROM {bench.spec.runtime.image}\nUSER 65534:65534\n".encode(),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    Path(bench.spec.code.folder).chmod(0o755)
    instance = await bench.start(runtime=replace(bench.spec.runtime, image=image))

    told = await ask(instance, "run", b"id -u")

    assert told == {"status": 0, "text": "65534\n"}


async def test_dependency_folders_are_there_read_only(bench: Bench, tmp_path: Path) -> None:
    """They are links in a code version, to where the user has them."""
    packages = tmp_path / "project" / "node_modules"
    packages.mkdir(parents=True)
    (packages / "given").write_text("yes")
    code = Path(bench.spec.code.folder)
    (code / "node_modules").symlink_to(packages)
    instance = await bench.start(code=replace(bench.spec.code, linked=(str(packages),)))

    told = await ask(instance, "run", b"cat node_modules/given; touch node_modules/new")

    assert told["text"].startswith("yes")
    assert "Read-only file system" in told["text"]
    assert not (packages / "new").exists()


async def test_lines_name_the_users_own_file_and_nothing_else_is_touched(bench: Bench) -> None:
    """On our side of the pipe only."""
    instance = await bench.start()

    reply = await instance.exchange(call("speak"))

    lines = [event.text for event in bench.events if isinstance(event, LogLine)]
    assert "/home/dev/project/index.py and /opt/code/index.py" in lines
    assert b"/code/index.py and /opt/code/index.py" in reply.log


async def test_the_sweeper_is_replaced_when_it_is_killed(bench: Bench) -> None:
    """Within the five seconds that nothing may stay behind."""
    await bench.start()
    first = bench.driver.sweeper_pid
    assert first is not None

    os.kill(first, 9)

    async with asyncio.timeout(5):
        while bench.driver.sweeper_pid in (first, None):  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.02)
    os.kill(bench.driver.sweeper_pid, 0)
