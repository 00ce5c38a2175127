"""Emulators whose functions run in containers: how they start, what they leave, who is told."""

import os
import re
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import pytest

from tests.e2e.conftest import Starter
from tests.support.docker_engine import (
    containers_with,
    docker_words,
    engine_or_skip,
    inspect,
    networks_with,
)
from tests.support.emulator_process import (
    Emulator,
    clean_environment,
    eventually,
    processes_of,
    run_command,
    write_files,
)
from tests.support.relay import Relay

pytestmark = pytest.mark.docker

HANDLER = """
import os, time, helper

def handler(event, context):
    if event == b"eat":
        return str(len(bytearray(os.urandom(1)) * (700 * 1024 * 1024)))
    if event.startswith(b"sleep"):
        time.sleep(60)
    return "one %s" % helper.NAME
"""

SOCKET = "/var/run/docker.sock"


@pytest.fixture
def folder(project: Path) -> Path:
    """A project with a handler and a helper module."""
    return write_files(project, {"index.py": HANDLER, "helper.py": "NAME = 'first'\n"})


def label(emulator: Emulator) -> str:
    """What marks everything that an emulator made in the engine."""
    uuid = Path(emulator.ready["state"], "uuid").read_text().strip()
    return f"fc-emu.instance={uuid}"


def test_reload_works_in_containers(start: Starter, folder: Path) -> None:
    """The handler's file at the next call, another soon after; the old container goes."""
    emulator = start(folder, *docker_words())
    assert emulator.invoke("project").text == "one first"

    write_files(folder, {"index.py": HANDLER.replace('"one %s', '"two %s')})
    assert emulator.invoke("project").text == "two first"

    write_files(folder, {"helper.py": "NAME = 'other'\n"})
    eventually(lambda: emulator.invoke("project").text == "two other")
    eventually(lambda: len(containers_with(label(emulator))) == 1)


def test_out_of_memory_is_told_as_that(start: Starter, folder: Path) -> None:
    """With the limit and the peak, and the next call has a new instance."""
    emulator = start(folder, *docker_words())

    answer = emulator.invoke("project", b"eat")

    assert answer.status_code == 200
    assert answer.headers["X-Fc-Error-Type"] == "UnhandledInvocationError"
    assert re.fullmatch(
        r"Process exited unexpectedly before completing request \(duration: \d+ms, "
        r"maxMemoryUsage: 512MB\): out of memory, the limit is 512MB",
        answer.json()["errorMessage"],
    )
    assert emulator.invoke("project").status_code == 200


def test_a_stop_leaves_nothing(start: Starter, folder: Path) -> None:
    """No container, no network, no folder of sockets."""
    emulator = start(folder, *docker_words())
    emulator.invoke("project")
    mark = label(emulator)
    run = inspect(containers_with(mark)[0])["Mounts"]
    shared = next(mount["Source"] for mount in run if mount["RW"])

    assert emulator.stop() == 0

    assert containers_with(mark) == []
    assert networks_with(mark) == []
    assert not Path(shared).exists()


def test_kill_9_leaves_nothing_within_five_seconds(start: Starter, folder: Path) -> None:
    """The sweeper outlives the emulator; another emulator's containers stay."""
    emulator = start(folder, *docker_words())
    other_folder = folder.with_name("other")
    shutil.copytree(folder, other_folder)
    other = start(other_folder, *docker_words())
    emulator.invoke("project")
    other.invoke("other")
    mark = label(emulator)
    assert len(containers_with(mark)) == 1

    emulator.process.kill()
    emulator.process.wait()

    eventually(lambda: containers_with(mark) == [] and networks_with(mark) == [], 5)
    assert len(containers_with(label(other))) == 1
    assert other.invoke("other").status_code == 200


def test_what_an_earlier_run_left_is_removed_at_the_start(
    start: Starter, folder: Path, home: Path
) -> None:
    """When the sweeper was killed as well; a container without our label stays."""
    emulator = start(folder, *docker_words())
    emulator.invoke("project")
    mark = label(emulator)
    uuid = mark.partition("=")[2]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        words = path.read_bytes().split(b"\0") if path.parent.exists() else []
        if b"emulator.drivers.sweeper" in words and uuid.encode() in words:
            os.kill(int(path.parent.name), signal.SIGSTOP)
            emulator.process.kill()
            emulator.process.wait()
            os.kill(int(path.parent.name), signal.SIGKILL)
    assert len(containers_with(mark)) == 1

    start(folder, *docker_words())

    assert containers_with(mark) == []


def test_a_missing_image_stops_only_its_own_functions(start: Starter, folder: Path) -> None:
    """The start says so with the next step, the call as well, within a second."""
    engine_or_skip()
    emulator = start(folder, "--driver", "docker", "--registry", "fc-emu-test/none")
    begun = monotonic()

    answer = emulator.invoke("project")

    assert monotonic() - begun < 1
    assert answer.status_code == 500
    assert re.search(r"no image fc-emu-test/none/python:3\.\d+-slim", answer.json()["ErrorMessage"])
    assert "fc-emu images pull python3" in answer.json()["ErrorMessage"]
    eventually(lambda: "fc-emu images pull python3" in emulator.stderr())


def test_auto_takes_docker_when_every_image_is_there(start: Starter, folder: Path) -> None:
    """And processes with the reason when one is not."""
    with_images = start(folder, *docker_words()[2:])
    assert with_images.ready["driver"] == "docker"
    assert with_images.stop() == 0

    without = start(folder, "--registry", "fc-emu-test/none")

    assert without.ready["driver"] == "process"
    eventually(lambda: "fc-emu images pull python3" in without.stderr())
    assert without.invoke("project").status_code == 200


def test_without_an_engine_docker_is_exit_6_and_auto_runs_processes(
    start: Starter, folder: Path, home: Path, tmp_path: Path
) -> None:
    """One line that says where it was looked for and what to do."""
    nobody = f"unix://{tmp_path}/nobody.sock"

    environ = clean_environment(home, DOCKER_HOST=nobody)

    done = run_command("start", "-p", "0", "--driver", "docker", cwd=folder, environ=environ)
    emulator = start(folder, environ=environ)

    assert done.returncode == 6
    said = done.stderr.decode()
    assert len(said.strip().splitlines()) == 1
    assert nobody in said
    assert "DOCKER_HOST" in said
    assert emulator.ready["driver"] == "process"
    eventually(lambda: nobody in emulator.stderr())


def test_an_image_option_that_is_none_is_exit_2(folder: Path, home: Path) -> None:
    """The runtimes are named."""
    environ = clean_environment(home)

    done = run_command("start", "-p", "0", "--image", "python4=x", cwd=folder, environ=environ)

    assert done.returncode == 2
    assert b"python3.10" in done.stderr
    assert b"python4=x" in done.stderr


def test_an_engine_that_goes_away_is_503_and_comes_back_without_a_restart(
    start: Starter, folder: Path, home: Path, tmp_path: Path
) -> None:
    """Within two seconds, and five; what was accepted meanwhile is not lost."""
    path = tmp_path / "relay.sock"
    with Relay(path, SOCKET):
        emulator = start(
            folder, *docker_words(), environ=clean_environment(home, DOCKER_HOST=f"unix://{path}")
        )
        assert emulator.invoke("project").status_code == 200

    # The instance lives and answers; what needs the engine cannot be had.
    assert emulator.invoke("project").status_code == 200
    write_files(folder, {"index.py": HANDLER.replace('"one %s', '"two %s')})
    begun = monotonic()
    answer = emulator.invoke("project")
    assert monotonic() - begun < 2
    assert answer.status_code == 503
    assert answer.json()["ErrorCode"] == "ServiceUnavailable"
    assert str(path) in answer.json()["ErrorMessage"]

    with Relay(path, SOCKET):
        eventually(lambda: emulator.invoke("project").text == "two first", 5)
        assert emulator.stop() == 0
        assert containers_with(label(emulator)) == []


def test_an_engine_that_hangs_fails_calls_at_a_deadline_and_holds_up_nothing_else(
    start: Starter, folder: Path, home: Path, tmp_path: Path
) -> None:
    """The deadline is named; the emulator answers others meanwhile."""
    path = tmp_path / "relay.sock"
    environ = clean_environment(home, DOCKER_HOST=f"unix://{path}")
    with Relay(path, SOCKET):
        emulator = start(folder, *docker_words(), environ=environ)
    with Relay(path, SOCKET, silent=True), ThreadPoolExecutor(1) as threads:
        call = threads.submit(emulator.invoke, "project")
        slowest = 0.0
        while not call.done():
            begun = monotonic()
            assert emulator.admin("/_emulator/health").status_code == 200
            slowest = max(slowest, monotonic() - begun)
        answer = call.result()

    assert answer.status_code == 503
    assert re.search(r"did not answer within \d+ s|not answer in time", answer.text)
    assert slowest < 1


def test_what_a_stop_could_not_remove_is_removed_when_the_engine_is_back(
    start: Starter, folder: Path, home: Path, tmp_path: Path
) -> None:
    """The stop itself does not wait for that."""
    path = tmp_path / "relay.sock"
    environ = clean_environment(home, DOCKER_HOST=f"unix://{path}")
    with Relay(path, SOCKET):
        emulator = start(folder, *docker_words(), environ=environ)
        emulator.invoke("project")
    mark = label(emulator)

    assert emulator.stop() == 0

    assert len(containers_with(mark)) == 1
    with Relay(path, SOCKET):
        eventually(lambda: containers_with(mark) == [] and networks_with(mark) == [], 10)
        eventually(lambda: processes_of(["emulator.drivers.sweeper", mark[-36:]]) == [])
