"""The commands beside start, against a running emulator."""

import json
import subprocess
from pathlib import Path
from time import monotonic

import pytest

from emulator import __version__
from tests.e2e.conftest import Starter
from tests.support.emulator_process import (
    Emulator,
    clean_environment,
    command,
    eventually,
    run_command,
    write_files,
)

SOURCE = """
def handler(event, context):
    print("told", event)
    if event == b"fail":
        raise RuntimeError("as told")
    return event
"""


@pytest.fixture
def emulator(start: Starter, project: Path) -> Emulator:
    """An emulator with one function that echoes."""
    return start(write_files(project, {"index.py": SOURCE}))


def run(
    project: Path, home: Path, *words: str, stdin: bytes = b"", **environ: str
) -> "subprocess.CompletedProcess[bytes]":
    """Run a command in the project folder."""
    return run_command(*words, cwd=project, environ=clean_environment(home, **environ), stdin=stdin)


def test_invoke_prints_the_result_on_stdout_and_the_log_on_stderr(
    emulator: Emulator, project: Path, home: Path
) -> None:
    """Bytes as they are; the event from text, file or standard input."""
    (project / "event.bin").write_bytes(b"\x00\xff")

    text = run(project, home, "invoke", "project", "-e", "héllo", "--log")
    file = run(project, home, "invoke", "default/project", "-f", "event.bin")
    stdin = run(project, home, "invoke", "any/project", "-f", "-", stdin=b"from stdin")

    assert (text.returncode, text.stdout) == (0, "héllo".encode())
    assert b"told" in text.stderr
    assert b"Billed Duration" in text.stderr
    assert file.stdout == b"\x00\xff"
    assert stdin.stdout == b"from stdin"


def test_invoke_exits_1_when_the_function_failed_or_is_not_there(
    emulator: Emulator, project: Path, home: Path
) -> None:
    """The error's JSON is the result; a refusal is a line on standard error."""
    failed = run(project, home, "invoke", "project", "-e", "fail")
    missing = run(project, home, "invoke", "missing")
    impossible = run(project, home, "invoke", "no/such/name")

    assert failed.returncode == 1
    assert json.loads(failed.stdout)["errorMessage"] == "as told"
    assert (missing.returncode, missing.stdout) == (1, b"")
    assert b"FunctionNotFound" in missing.stderr
    assert impossible.returncode == 2


def test_invoke_async_prints_the_request_id(emulator: Emulator, project: Path, home: Path) -> None:
    """With a delay it is pending until then."""
    now = run(project, home, "invoke", "project", "-e", "soon", "--async")
    later = run(project, home, "invoke", "project", "-e", "later", "--delay", "3600")

    assert now.returncode == later.returncode == 0
    assert len(now.stdout.strip()) == len(later.stdout.strip()) == 36
    eventually(lambda: "told b'soon'" in emulator.stdout())
    assert emulator.admin("/_emulator/info").json()["counts"]["pending"] == 1
    assert run(project, home, "invoke", "project", "--delay", "3601").returncode == 2


def test_list_shows_functions_with_their_interpreter(
    emulator: Emulator, project: Path, home: Path
) -> None:
    """``--json`` is exactly the admin API's answer."""
    emulator.invoke("project", b"")
    shown = run(project, home, "list").stdout.decode()
    answered = json.loads(run(project, home, "list", "--json").stdout)

    assert answered == emulator.admin("/_emulator/functions?limit=1000").json()
    (item,) = answered["items"]
    assert item["id"] == "project"
    assert item["instances"] == {"idle": 1, "busy": 0, "starting": 0}
    assert item["interpreter"] in shown
    assert item["url"] in shown
    assert item["codeChecksum"].isdecimal()


def test_functions_are_paged_by_id(start: Starter, tmp_path: Path) -> None:
    """A token leads on; a limit out of range names the field."""
    folders = [write_files(tmp_path / name, {"index.py": SOURCE}) for name in ("c", "a", "b")]
    emulator = start(tmp_path, *(str(folder) for folder in folders))

    first = emulator.admin("/_emulator/functions?limit=2").json()
    second = emulator.admin(f"/_emulator/functions?limit=2&nextToken={first['nextToken']}").json()
    wrong = emulator.admin("/_emulator/functions?limit=0")

    assert [item["id"] for item in first["items"]] == ["a", "b"]
    assert [item["id"] for item in second["items"]] == ["c"]
    assert second["nextToken"] is None
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (400, "limit")


def test_status_and_wait_find_the_emulator_from_a_subfolder(
    emulator: Emulator, project: Path, home: Path
) -> None:
    """By the run.json of a parent's state folder."""
    (project / "deep" / "er").mkdir(parents=True)

    status = run(project / "deep" / "er", home, "status")
    facts = json.loads(run(project, home, "status", "--json").stdout)
    waited = run(project, home, "wait", "--timeout", "5")

    assert status.returncode == 0
    assert emulator.endpoint in status.stdout.decode()
    assert facts["pid"] == emulator.process.pid
    assert "token" not in facts
    assert facts["uptimeMs"] >= 0
    assert waited.stdout.decode().strip() == emulator.endpoint


def test_wait_returns_when_an_emulator_has_come_up(
    start: Starter, project: Path, home: Path
) -> None:
    """It is asked before there is one."""
    write_files(project, {"index.py": SOURCE})
    waiting = subprocess.Popen(
        command("wait", "--timeout", "20"),
        cwd=project,
        env=clean_environment(home),
        stdout=subprocess.PIPE,
    )

    emulator = start(project)

    out, _ = waiting.communicate(timeout=20)
    assert waiting.returncode == 0
    assert out.decode().strip() == emulator.endpoint


def test_stop_ends_it_and_then_nothing_answers(
    emulator: Emulator, project: Path, home: Path
) -> None:
    """Exit 8 for who asks afterwards, with where was looked."""
    stopped = run(project, home, "stop")

    assert stopped.returncode == 0
    assert emulator.process.wait(10) == 0
    for words in (
        ["status"],
        ["list"],
        ["stop"],
        ["invoke", "project"],
        ["wait", "--timeout", "0"],
    ):
        after = run(project, home, *words)
        assert after.returncode == 8, words
        assert len(after.stderr.decode().splitlines()) == 1


def test_the_emulator_is_found_by_option_and_by_environment(
    emulator: Emulator, tmp_path: Path, home: Path
) -> None:
    """FC_EMU_ADMIN with FC_EMU_TOKEN from anywhere; ``--state-dir`` too; proxies are ignored."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    facts = {
        "FC_EMU_ADMIN": emulator.ready["admin"],
        "FC_EMU_TOKEN": emulator.ready["token"],
        "FC_EMU_ENDPOINT": emulator.endpoint,
        "http_proxy": "http://127.0.0.1:9",
    }

    by_environment = run(elsewhere, home, "invoke", "project", "-e", "x", **facts)
    by_option = run(elsewhere, home, "status", "--state-dir", emulator.ready["state"])
    wrong = run(elsewhere, home, "status", **{**facts, "FC_EMU_TOKEN": "wrong"})

    assert by_environment.stdout == b"x"
    assert by_option.returncode == 0
    assert wrong.returncode == 8
    assert b"401" in wrong.stderr


def test_json_lines_tell_programs_what_happens(start: Starter, project: Path) -> None:
    """Every line of standard output is an object with an ``event``."""
    source = write_files(project, {"index.py": SOURCE}) / "index.py"
    emulator = start(project, "--json")
    emulator.invoke("project", b"x")
    source.write_text(SOURCE + "\n")
    emulator.invoke("project", b"fail")
    emulator.stop()

    objects = [
        json.loads(line)
        for line in eventually(
            lambda: "stopping" in emulator.stdout() and emulator.stdout()
        ).splitlines()
    ]

    assert objects[0] == emulator.ready
    assert {item["event"] for item in objects} == {
        "ready",
        "notice",
        "log",
        "invocation",
        "reload",
        "stopping",
    }
    assert "isolated from nothing" in next(o for o in objects if o["event"] == "notice")["text"]
    outcomes = [item["outcome"] for item in objects if item["event"] == "invocation"]
    assert outcomes == ["returned", "function-error"]


def test_function_output_is_prefixed_and_cannot_steer_a_terminal(
    start: Starter, project: Path
) -> None:
    """Control characters and foreign colours are taken out where it is no terminal."""
    write_files(
        project,
        {
            "index.py": "def handler(event, context):\n"
            "    print('a\\x1b[31mred\\x1b[0m \\x1b]52;c;x\\x07 \\x08 tab\\there é')\n"
        },
    )
    emulator = start(project)

    emulator.invoke("project")

    eventually(lambda: "[project] ared ]52;c;x  tab\there é" in emulator.stdout())
    assert "\x1b" not in emulator.stdout()
    assert "FC Invoke Start" not in emulator.stdout()


@pytest.mark.parametrize("options", [["-q"], ["-v"]])
def test_quiet_and_verbose(start: Starter, project: Path, options: list[str]) -> None:
    """Quiet says failures only; verbose says what instances do."""
    emulator = start(write_files(project, {"index.py": SOURCE}), *options)
    emulator.invoke("project", b"x")
    emulator.invoke("project", b"fail")

    eventually(lambda: "UnhandledInvocationError" in emulator.stderr())
    assert ("endpoint" in emulator.stderr()) == (options == ["-v"])
    assert ("instance c-" in emulator.stderr()) == (options == ["-v"])
    if options == ["-v"]:
        eventually(lambda: "FC Invoke Start" in emulator.stdout())
    else:
        assert "FC Invoke Start" not in emulator.stdout()


def test_a_closed_standard_output_does_not_stop_it(home: Path, project: Path) -> None:
    """As under ``| head``: the emulator goes on, and ends with 0."""
    write_files(project, {"index.py": SOURCE})
    ready = home / "ready.json"
    process = subprocess.Popen(
        command("start", "-p", "0", "--admin-port", "0", "--ready-file", str(ready)),
        cwd=project,
        env=clean_environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    process.stdout.close()
    try:
        eventually(ready.exists, 30)
        emulator = Emulator(process, json.loads(ready.read_text()))
        for _ in range(3):
            assert emulator.invoke("project", b"x").content == b"x"
        assert emulator.stop() == 0
    finally:
        process.kill()
        process.wait()


def test_a_folder_with_blanks_and_chinese_in_its_name_works_without_a_locale(
    start: Starter, tmp_path: Path, home: Path
) -> None:
    """``LANG=C``; the function is named after the folder as far as that goes."""
    folder = write_files(tmp_path / "my 项目 folder", {"index.py": SOURCE})
    environ = clean_environment(home, LANG="C", LC_ALL="C")

    emulator = start(folder, environ=environ)

    (function,) = emulator.ready["functions"]
    assert emulator.invoke(function["id"], b"x").content == b"x"
    assert "项目" in emulator.ready["state"]


def test_help_and_version_are_quick_and_import_no_server(home: Path, project: Path) -> None:
    """aiohttp alone would cost more than the rest of the command."""
    begun = monotonic()
    version = run(project, home, "--version")
    helped = run(project, home, "--help")
    took = monotonic() - begun
    imported = subprocess.run(
        [*command("--help")[:1], "-X", "importtime", *command("--help")[1:]],
        cwd=project,
        env=clean_environment(home),
        capture_output=True,
        check=True,
        timeout=30,
    ).stderr.decode()

    assert version.stdout.decode().strip() == f"fc-emu, version {__version__}"
    for name in ("start", "invoke", "list", "stop", "status", "wait"):
        assert f"  {name}" in helped.stdout.decode()
    assert took < 10
    for heavy in ("aiohttp", "asyncio", "watchfiles", "yaml", "msgspec"):
        assert f" {heavy}\n" not in imported, heavy
