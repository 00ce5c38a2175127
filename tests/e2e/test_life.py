"""How an emulator ends, and what is left of it: nothing."""

import json
import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import pytest

from tests.e2e.conftest import Starter
from tests.support.emulator_process import (
    clean_environment,
    eventually,
    processes_of,
    run_command,
    write_files,
)

SLOW = """
import os, subprocess, sys, time

def handler(event, context):
    if event.startswith(b"sleep "):
        open(os.environ["ENTERED"], "w").close()
        time.sleep(float(event.split()[1]))
        return "slept"
    if event == b"leave":
        sleeper = [sys.executable, "-c", "import time; time.sleep(300)", os.environ["NAME"]]
        subprocess.Popen(sleeper, start_new_session=True)
        subprocess.Popen(sleeper, start_new_session=True, env={})
        subprocess.Popen(sleeper)
    return str(os.getpid())
"""


@pytest.fixture
def slow(project: Path, tmp_path: Path) -> Path:
    """A project whose function sleeps, or leaves processes behind that carry a name."""
    return write_files(
        project,
        {
            "index.py": SLOW,
            "s.yaml": f"""
edition: 3.0.0
resources:
  slow:
    component: fc3
    props:
      functionName: slow
      runtime: python3
      handler: index.handler
      code: .
      timeout: 100
      environmentVariables:
        ENTERED: {tmp_path / "entered"}
        NAME: {name_of(tmp_path)}
""",
        },
    )


def name_of(tmp_path: Path) -> str:
    """A word that only this test's processes have in their command line."""
    return f"left-by-{tmp_path.name}-{os.getpid()}"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_ctrl_c_lets_running_work_finish_and_leaves_nothing(
    start: Starter, slow: Path, tmp_path: Path
) -> None:
    """The call is answered, new ones are refused, the exit status is 0, no process is left."""
    emulator = start(slow)
    emulator.invoke("slow", b"leave")

    with ThreadPoolExecutor() as threads:
        running = threads.submit(emulator.invoke, "slow", b"sleep 1.5")
        eventually((tmp_path / "entered").exists)
        emulator.process.send_signal(signal.SIGINT)
        eventually(lambda: "stopping" in emulator.stderr())
        refused = emulator.invoke("slow", b"")
        answered = running.result()

    assert (answered.status_code, answered.content) == (200, b"slept")
    assert refused.status_code == 503
    assert refused.headers["Connection"].lower() == "close"
    assert emulator.process.wait(10) == 0
    assert processes_of([name_of(tmp_path)]) == []
    assert processes_of([str(emulator.ready["state"])]) == []
    assert not (Path(emulator.ready["state"]) / "run.json").exists()


def test_work_that_outlasts_the_grace_is_ended_and_its_caller_told(
    start: Starter, slow: Path, tmp_path: Path
) -> None:
    """``--grace 0.5``: 503 for who waits, exit 0, nothing left."""
    emulator = start(slow, "--grace", "0.5")

    with ThreadPoolExecutor() as threads:
        running = threads.submit(emulator.invoke, "slow", b"sleep 60")
        eventually((tmp_path / "entered").exists)
        begun = monotonic()
        status = emulator.stop(signal.SIGTERM)
        answered = running.result()

    assert status == 0
    assert monotonic() - begun < 5
    assert answered.status_code == 503
    assert "stopped" in answered.json()["ErrorMessage"]
    assert processes_of([str(emulator.ready["state"])]) == []


def test_a_second_signal_ends_at_once(start: Starter, slow: Path, tmp_path: Path) -> None:
    """Exit 130 within a second, whatever runs; nothing is left a little later."""
    emulator = start(slow)

    with ThreadPoolExecutor() as threads:
        running = threads.submit(emulator.invoke, "slow", b"sleep 60")
        eventually((tmp_path / "entered").exists)
        emulator.process.send_signal(signal.SIGINT)
        eventually(lambda: "stopping" in emulator.stderr())
        begun = monotonic()
        status = emulator.stop(signal.SIGINT)

        assert status == 130
        assert monotonic() - begun < 1.5
        assert running.exception() is not None
    eventually(lambda: processes_of([str(emulator.ready["state"])]) == [], 5)


def test_kill_9_leaves_nothing_after_five_seconds_and_touches_nobody_else(
    start: Starter, slow: Path, tmp_path: Path
) -> None:
    """What a handler put into a session of its own, its environment emptied, goes as well."""
    name = name_of(tmp_path)
    emulator = start(slow)
    pid = int(emulator.invoke("slow", b"leave").content)
    bystander = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(300)", f"bystander-of-{name}"]
    )
    try:
        eventually(lambda: len(processes_of(["sleep(300)", name])) == 4)

        emulator.process.kill()
        emulator.process.wait()

        eventually(lambda: processes_of(["sleep(300)", name]) == [bystander.pid], 5)
        assert not alive(pid)
        assert processes_of([str(emulator.ready["state"])]) == []
    finally:
        bystander.kill()
        bystander.wait()


def test_an_emulator_starts_after_a_kill_9(start: Starter, slow: Path) -> None:
    """The lock goes with the process, and a stale run.json fools nobody."""
    first = start(slow)
    first.process.kill()
    first.process.wait()

    second = start(slow)

    assert second.invoke("slow", b"").status_code == 200
    assert second.ready["state"] == first.ready["state"]


def test_a_second_start_in_the_same_folder_names_the_holder(
    start: Starter, slow: Path, home: Path
) -> None:
    """Exit 4, the pid of the first, and the first goes on."""
    emulator = start(slow)
    begun = monotonic()

    second = run_command(
        "start", "-p", "0", "--admin-port", "0", cwd=slow, environ=clean_environment(home)
    )

    assert second.returncode == 4
    assert str(emulator.process.pid) in second.stderr.decode()
    assert len(second.stderr.decode().splitlines()) == 1
    assert monotonic() - begun < 10
    assert emulator.invoke("slow", b"").status_code == 200


def test_two_emulators_in_two_folders_run_side_by_side(start: Starter, tmp_path: Path) -> None:
    """Each has its own state and its own functions."""
    source = "def handler(event, context):\n    return context.function.name\n"
    one = start(write_files(tmp_path / "one", {"index.py": source}))
    two = start(write_files(tmp_path / "two", {"index.py": source}))

    assert one.invoke("one").content == b"one"
    assert two.invoke("two").content == b"two"
    assert one.ready["state"] != two.ready["state"]


def test_state_files_are_private_and_the_project_folder_is_left_alone(
    start: Starter, project: Path
) -> None:
    """0700 for the folder, 0600 for run.json and the ready file; nothing new in the project."""
    write_files(project, {"index.py": "def handler(event, context):\n    return 1\n"})
    emulator = start(project)
    emulator.invoke("project")

    state = Path(emulator.ready["state"])
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert stat.S_IMODE((state / "run.json").stat().st_mode) == 0o600
    assert json.loads((state / "run.json").read_text()) == emulator.ready
    assert sorted(path.name for path in project.iterdir()) == ["index.py"]


def test_an_idle_instance_ends(start: Starter, project: Path) -> None:
    """``--idle-timeout 0.3``: the next call gets another process."""
    write_files(
        project, {"index.py": "import os\n\ndef handler(event, context):\n    return os.getpid()\n"}
    )
    emulator = start(project, "--idle-timeout", "0.3")
    first = emulator.invoke("project").json()

    eventually(lambda: not alive(first))

    assert emulator.invoke("project").json() != first


def test_parallel_calls_get_instances_up_to_the_limit_and_wait_beyond(
    start: Starter, slow: Path
) -> None:
    """Six calls of half a second on two instances: all answered, two processes."""
    emulator = start(slow, "--max-instances", "2")

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: emulator.invoke("slow", b"sleep 0.3"), range(6)))

    assert [answer.content for answer in answers] == [b"slept"] * 6
    assert len({answer.headers["X-Fc-Instance-Id"] for answer in answers}) == 2


def test_an_instance_that_is_killed_while_idle_is_replaced(start: Starter, slow: Path) -> None:
    """No error for the next caller."""
    emulator = start(slow)
    pid = int(emulator.invoke("slow", b"").content)

    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid))
    answer = emulator.invoke("slow", b"")

    assert answer.status_code == 200
    assert int(answer.content) != pid


def test_an_instance_that_is_killed_while_it_runs_fails_that_call_only(
    start: Starter, slow: Path, tmp_path: Path
) -> None:
    """The caller is told within a second of it, and not re-run."""
    emulator = start(slow)
    pid = int(emulator.invoke("slow", b"").content)

    with ThreadPoolExecutor() as threads:
        running = threads.submit(emulator.invoke, "slow", b"sleep 60")
        eventually((tmp_path / "entered").exists)
        os.kill(pid, signal.SIGKILL)
        begun = monotonic()
        answer = running.result()

    assert monotonic() - begun < 3
    assert answer.headers["X-Fc-Error-Type"] == "UnhandledInvocationError"
    assert answer.json()["errorMessage"].startswith("Process exited unexpectedly")
    assert emulator.invoke("slow", b"").status_code == 200


def test_a_killed_helper_is_replaced_and_its_instances_ended(start: Starter, slow: Path) -> None:
    """Without its helper an instance would have no one to end it."""
    emulator = start(slow)
    pid = int(emulator.invoke("slow", b"").content)
    helper = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])

    os.kill(helper, signal.SIGKILL)
    eventually(lambda: not alive(pid), 5)
    answer = emulator.invoke("slow", b"")

    assert answer.status_code == 200
    emulator.process.kill()
    emulator.process.wait()
    eventually(lambda: not alive(int(answer.content)), 5)
