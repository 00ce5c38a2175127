"""``fc-emu clean``: after runs whose helpers were killed with them."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter
from tests.support.docker_engine import containers_with, docker_words, networks_with
from tests.support.emulator_process import (
    Emulator,
    clean_environment,
    processes_of,
    run_command,
    write_files,
)

HANDLER = "import os\n\ndef handler(event, context):\n    return str(os.getpid())\n"


@pytest.fixture
def folder(project: Path) -> Path:
    """A project with one function."""
    return write_files(project, {"index.py": HANDLER})


def kill_all_of(emulator: Emulator) -> None:
    """Kill an emulator and its helpers before they can do anything."""
    own = emulator.process.pid
    helpers = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/stat")
        if f") S {own} " in _read(path) and _is_helper(path.parent)
    ]
    for pid in helpers:
        os.kill(pid, signal.SIGSTOP)
    emulator.process.kill()
    emulator.process.wait()
    for pid in helpers:
        os.kill(pid, signal.SIGKILL)
    assert helpers


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _is_helper(process: Path) -> bool:
    words = _read(process / "cmdline")
    return "reaper.py" in words or "emulator.drivers.sweeper" in words


def test_processes_and_sockets_of_a_dead_run_are_removed_and_a_living_one_is_not(
    start: Starter, folder: Path, home: Path
) -> None:
    """The living emulator is named as left alone, and still answers."""
    dead = start(folder, "--driver", "process")
    other = folder.with_name("other")
    shutil.copytree(folder, other)
    living = start(other, "--driver", "process")
    pid = int(dead.invoke("project").text)
    living_pid = int(living.invoke("other").text)
    kill_all_of(dead)

    done = run_command("clean", cwd=folder, environ=clean_environment(home))
    again = run_command("clean", cwd=folder, environ=clean_environment(home))

    assert done.returncode == 0, done.stderr
    status = _read(Path(f"/proc/{pid}/stat"))  # a zombie where nobody is there to reap it
    assert status == "" or ") Z " in status
    assert str(dead.ready["state"]) in done.stdout.decode()
    assert str(living.ready["state"]) in done.stderr.decode()
    assert int(living.invoke("other").text) == living_pid
    assert again.stdout == b"nothing was left\n"
    assert processes_of([str(dead.ready["state"])]) == []


@pytest.mark.docker
def test_containers_of_a_dead_run_are_removed_and_those_of_a_living_one_are_not(
    start: Starter, folder: Path, home: Path
) -> None:
    """By the label of the dead state only."""
    dead = start(folder, *docker_words())
    other = folder.with_name("other")
    shutil.copytree(folder, other)
    living = start(other, *docker_words())
    dead.invoke("project")
    living.invoke("other")
    marks = [
        f"fc-emu.instance={Path(one.ready['state'], 'uuid').read_text().strip()}"
        for one in (dead, living)
    ]
    kill_all_of(dead)
    assert len(containers_with(marks[0])) == 1

    done = run_command("clean", cwd=folder, environ=clean_environment(home))

    assert done.returncode == 0, done.stderr
    assert "removed 1 containers" in done.stdout.decode()
    assert containers_with(marks[0]) == networks_with(marks[0]) == []
    assert len(containers_with(marks[1])) == 1
    assert living.invoke("other").status_code == 200


def test_without_an_engine_the_rest_is_cleaned_and_that_is_said(
    folder: Path, home: Path, tmp_path: Path
) -> None:
    """A folder that is no state is named, and nothing in it is touched."""
    environ = clean_environment(home, DOCKER_HOST=f"unix://{tmp_path}/nobody.sock")

    done = run_command("clean", "--state-dir", str(folder), cwd=folder, environ=environ)

    assert done.returncode == 0
    assert "containers were not looked for" in done.stderr.decode()
    assert f"{folder} is no state folder" in done.stderr.decode()
    assert sorted(path.name for path in folder.iterdir()) == ["index.py"]
