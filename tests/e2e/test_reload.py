"""Code reloads on save; a running call keeps the code with which it began."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import pytest

from tests.e2e.conftest import Starter
from tests.support.emulator_process import eventually, write_files

ANSWER = "def handler(event, context):\n    return {!r}\n"


def test_five_same_size_saves_within_a_second_are_each_answered_at_once(
    start: Starter, project: Path
) -> None:
    """No wait and no retry between save and call, and never a stale answer."""
    source = write_files(project, {"index.py": ANSWER.format("v0")}) / "index.py"
    emulator = start(project)
    assert emulator.invoke("project").content == b"v0"

    answers = []
    begun = monotonic()
    for number in range(1, 6):
        source.write_text(ANSWER.format(f"v{number}"))
        answers.append(emulator.invoke("project").content)
    took = monotonic() - begun

    assert answers == [b"v1", b"v2", b"v3", b"v4", b"v5"]
    sys.stdout.write(f"five saves, each called at once: {took:.3f} s\n")
    assert took < 10


def test_a_replaced_file_of_the_same_size_and_time_is_seen(start: Starter, project: Path) -> None:
    """An editor that writes beside and renames, and a tool that keeps the time."""
    source = write_files(project, {"index.py": ANSWER.format("v0")}) / "index.py"
    emulator = start(project)
    before = source.stat()
    assert emulator.invoke("project").content == b"v0"

    fresh = project / "fresh"
    fresh.write_text(ANSWER.format("v1"))
    fresh.replace(source)
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert emulator.invoke("project").content == b"v1"


def test_a_saved_helper_module_is_used_soon(start: Starter, project: Path) -> None:
    """What is not the handler's own file is heard from the watcher."""
    write_files(
        project,
        {
            "index.py": "import part\n\ndef handler(event, context):\n    return part.TEXT\n",
            "part.py": "TEXT = 'old'\n",
        },
    )
    emulator = start(project)
    assert emulator.invoke("project").content == b"old"

    (project / "part.py").write_text("TEXT = 'new'\n")
    saved = monotonic()
    eventually(lambda: emulator.invoke("project").content == b"new", 5)

    sys.stdout.write(f"helper module: {(monotonic() - saved) * 1000:.0f} ms from save to answer\n")
    assert monotonic() - saved < 1.0


def test_a_running_call_finishes_on_old_code_files_it_reads_late_included(
    start: Starter, project: Path, tmp_path: Path
) -> None:
    """It sleeps across a save, then imports a module and reads a file that the save changed."""
    gate, entered = tmp_path / "gate", tmp_path / "entered"
    handler = f"""
import os, time

def handler(event, context):
    if event == b"slow":
        open({str(entered)!r}, "w").close()
        while not os.path.exists({str(gate)!r}):
            time.sleep(0.005)
    import late
    return [VERSION, late.VERSION, open("data.txt").read(), open("/".join([
        os.environ["FC_FUNC_CODE_PATH"], "data.txt"])).read()]

"""
    write_files(
        project,
        {"index.py": f"VERSION = 'old'{handler}", "late.py": "VERSION='old'", "data.txt": "old"},
    )
    emulator = start(project)

    with ThreadPoolExecutor() as threads:
        slow = threads.submit(emulator.invoke, "project", b"slow")
        eventually(entered.exists)
        write_files(
            project,
            {
                "index.py": f"VERSION = 'new'{handler}",
                "late.py": "VERSION='new'",
                "data.txt": "new",
            },
        )
        eventually(lambda: emulator.invoke("project", b"fast").json() == ["new"] * 4, 5)
        assert not slow.done()
        gate.touch()

        assert slow.result().json() == ["old"] * 4


def test_a_syntax_error_answers_with_file_and_line_and_the_next_save_heals_it(
    start: Starter, project: Path
) -> None:
    """Between the saves each call says what is wrong; nothing has to be restarted."""
    source = write_files(project, {"index.py": ANSWER.format("fine")}) / "index.py"
    emulator = start(project)
    assert emulator.invoke("project").content == b"fine"

    source.write_text("def handler(event, context):\n    return (\n")
    broken = emulator.invoke("project")
    again = emulator.invoke("project")
    source.write_text(ANSWER.format("healed"))
    healed = emulator.invoke("project")

    for answer in (broken, again):
        assert answer.headers["X-Fc-Error-Type"] == "UnhandledInvocationError"
        assert answer.json()["errorType"] == "UserCodeSyntaxError"
        assert answer.json()["errorMessage"] == "Syntax error in module 'index'"
        assert any(
            "/code/index.py" in text and "line 2" in text for text in answer.json()["stackTrace"]
        )
    assert healed.content == b"healed"
    eventually(lambda: f"{project}/index.py" in emulator.stdout())
    assert str(emulator.ready["state"]) not in emulator.stdout()


def test_a_function_that_starts_out_broken_is_found_and_healed(
    start: Starter, project: Path
) -> None:
    """Half a handler is still a handler for detection."""
    source = project / "index.py"
    source.write_text("def handler(event, context):\n    return (\n")
    emulator = start(project)

    broken = emulator.invoke("project")
    source.write_text(ANSWER.format("healed"))

    assert broken.json()["errorType"] == "UserCodeSyntaxError"
    assert emulator.invoke("project").content == b"healed"


def test_a_code_folder_that_goes_away_is_told_and_recovers(start: Starter, tmp_path: Path) -> None:
    """A clear error while it is gone, no restart when it is back."""
    code = write_files(tmp_path / "proj" / "code", {"index.py": ANSWER.format("here")})
    write_files(
        tmp_path / "proj",
        {
            "s.yaml": "edition: 3.0.0\nresources:\n  f:\n    component: fc3\n    props:\n"
            "      functionName: f\n      runtime: python3\n      handler: index.handler\n"
            "      code: ./code\n"
        },
    )
    emulator = start(tmp_path / "proj")
    assert emulator.invoke("f").content == b"here"

    code.rename(tmp_path / "aside")
    gone = emulator.invoke("f")
    (tmp_path / "aside").rename(code)
    back = emulator.invoke("f")

    assert gone.status_code == 500
    assert str(code) in gone.json()["ErrorMessage"]
    assert back.content == b"here"


def test_an_edited_project_file_is_said_to_act_at_the_next_start(
    start: Starter, project: Path
) -> None:
    """The functions go on as they were."""
    text = (
        "edition: 3.0.0\nresources:\n  f:\n    component: fc3\n    props:\n"
        "      functionName: f\n      runtime: python3\n      handler: index.handler\n"
        "      code: ./code\n      timeout: 5\n"
    )
    write_files(project, {"code/index.py": ANSWER.format("same"), "s.yaml": text})
    emulator = start(project)

    (project / "s.yaml").write_text(text.replace("timeout: 5", "timeout: 7"))

    eventually(lambda: "at the next start" in emulator.stderr())
    assert "s.yaml" in emulator.stderr()
    assert emulator.invoke("f").content == b"same"


@pytest.mark.parametrize("option", ["--no-watch", "--poll"])
def test_the_handlers_file_is_seen_without_a_watcher_too(
    start: Starter, project: Path, option: str
) -> None:
    """``--no-watch`` leaves the look at the handler's file, ``--poll`` replaces kernel events."""
    source = write_files(project, {"index.py": ANSWER.format("v0")}) / "index.py"
    emulator = start(project, option)
    assert emulator.invoke("project").content == b"v0"

    source.write_text(ANSWER.format("v1"))

    assert emulator.invoke("project").content == b"v1"
