"""A start that cannot be: one line that says what, where and what to do, and its exit code."""

import os
import socket
from pathlib import Path
from time import monotonic

import pytest

from tests.e2e.conftest import Starter
from tests.support.emulator_process import (
    clean_environment,
    eventually,
    run_command,
    write_files,
)

HANDLER = "def handler(event, context):\n    return 1\n"
PROPS = """\
edition: 3.0.0
resources:
  f:
    component: fc3
    props:
      functionName: f
      runtime: python3
      handler: index.handler
      code: ./code
"""


def start_fails(folder: Path, home: Path, *words: str, ports: bool = True) -> tuple[int, str]:
    """Run a start that must end by itself; give its exit code and what it said."""
    free = ("-p", "0", "--admin-port", "0") if ports else ()
    done = run_command("start", *free, *words, cwd=folder, environ=clean_environment(home))
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("families", ["4", "6", "46"])
def test_a_taken_port_names_address_and_holder(project: Path, home: Path, families: str) -> None:
    """F11: exit 3, on either family; nothing is left of the start."""
    write_files(project, {"index.py": HANDLER})
    with socket.create_server(("127.0.0.1", 0)) as v4:
        port = v4.getsockname()[1]
        if families == "6":
            v4.close()
        v6 = socket.create_server(("::1", port), family=socket.AF_INET6) if "6" in families else v4
        with v6:
            code, said = start_fails(project, home, "-p", str(port), ports=False)

    shown = f"[::1]:{port}" if families == "6" else f"127.0.0.1:{port}"
    assert code == 3
    assert f"{shown} is in use by process {os.getpid()}" in said
    assert "--port" in said


def test_a_taken_default_admin_port_moves_and_a_chosen_one_does_not(
    start: Starter, project: Path, home: Path
) -> None:
    """The first says where it went; the second is exit 3."""
    write_files(project, {"index.py": HANDLER})
    with socket.create_server(("127.0.0.1", 3201)):
        emulator = start(project, "--admin-port", "3201")
        moved = emulator.ready["admin"]
        eventually(lambda: "127.0.0.1:3201 is in use" in emulator.stderr())
        assert emulator.admin("/_emulator/info").status_code == 200
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = str(chosen.getsockname()[1])
        other = write_files(project.parent / "other", {"index.py": HANDLER})
        code, said = start_fails(other, home, "-p", "0", "--admin-port", port, ports=False)

    assert not moved.endswith(":3201")
    assert (code, f":{port} is in use" in said) == (3, True)


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("a: !!python/object/apply:os.system ['touch x']\n", 1, "!!python"),
        ("resources:\n\tf: 1\n", 2, "tab"),
        ("a: [1, 2\nb: }\n", 2, ""),
        ("x" * 2_000_000, None, ""),
        (
            "\n".join(
                ["a0: &a0 [x]"]
                + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 11)]
            ),
            None,
            "",
        ),
    ],
    ids=["tag", "tab", "broken", "huge", "bomb"],
)
def test_a_hostile_project_file_is_refused_by_line_and_in_a_second(
    project: Path, home: Path, text: str, line: int | None, word: str
) -> None:
    """B32: exit 2, nothing executed."""
    write_files(project, {"s.yaml": text, "index.py": HANDLER})
    begun = monotonic()

    code, said = start_fails(project, home)

    assert code == 2
    assert "s.yaml" in said
    assert line is None or f"s.yaml:{line}" in said
    assert word in said
    assert monotonic() - begun < 10
    assert not (project / "x").exists()


def test_a_file_that_is_not_utf_8_is_refused(project: Path, home: Path) -> None:
    """B32: exit 2 naming the file."""
    (project / "s.yaml").write_bytes(b"name: \xff\xfe\n")

    code, said = start_fails(project, home)

    assert code == 2
    assert "s.yaml" in said


@pytest.mark.parametrize("value", ["$(touch pwned)", "`touch pwned`", '"; touch pwned; "'])
def test_shell_text_is_a_literal_value_or_refused(
    start: Starter, project: Path, home: Path, value: str
) -> None:
    """B33: as a variable it arrives as it is; as name or path it is refused or not there."""
    escaped = value.replace('"', '\\"')
    reads = "import os\n\ndef handler(event, context):\n    return os.environ['TEXT']\n"
    write_files(
        project,
        {
            "code/index.py": reads,
            "s.yaml": PROPS + f'      environmentVariables:\n        TEXT: "{escaped}"\n',
        },
    )
    emulator = start(project)

    assert emulator.invoke("f").content == value.encode()

    other = write_files(
        project.parent / "other",
        {"s.yaml": PROPS.replace("functionName: f", f'functionName: "{escaped}"')},
    )
    code, said = start_fails(other, home)
    assert code == 2
    assert "functionName" in said
    assert not list(project.parent.rglob("pwned"))


@pytest.mark.parametrize("path", ["../../..", "/", "~", "link"])
def test_code_outside_the_project_is_refused_unless_given(
    start: Starter, project: Path, home: Path, path: str
) -> None:
    """B34: exit 2 naming the option; with the option it is served."""
    outside = write_files(project.parent.parent / "outside" / "code", {"index.py": HANDLER})
    (project / "link").symlink_to(outside)
    write_files(project, {"s.yaml": PROPS.replace("./code", path)})

    code, said = start_fails(project, home)

    assert code == 2
    assert "--code f=" in said or "--code FUNCTION=" in said
    emulator = start(project, "--code", f"f={outside}")
    assert emulator.invoke("f").content == b"1"


@pytest.mark.parametrize("second", ["f", "F"])
def test_two_functions_with_one_name_are_refused(project: Path, home: Path, second: str) -> None:
    """B37: exit 2 with both lines; names that differ by case only count as one."""
    block = PROPS.partition("resources:\n")[2]
    again = block.replace("  f:", "  g:").replace("functionName: f", f"functionName: {second}")
    write_files(project, {"s.yaml": PROPS + again})

    code, said = start_fails(project, home)

    assert code == 2
    assert "s.yaml:13" in said
    assert "6" in said


def test_keys_that_are_not_honoured_are_named_once_with_their_line(
    start: Starter, project: Path
) -> None:
    """A start with notices is a start."""
    write_files(
        project,
        {
            "code/index.py": HANDLER,
            "s.yaml": PROPS + "      layers:\n        - acs:x\n      memorysize: 256\n",
        },
    )
    emulator = start(project)
    emulator.invoke("f")

    said = eventually(lambda: "memorysize" in emulator.stderr() and emulator.stderr())
    assert said.count("layers (s.yaml:10)") == 1
    assert said.count("memorysize (s.yaml:12)") == 1
    assert "memorySize" in said


def test_options_are_checked_and_say_where_they_came_from(project: Path, home: Path) -> None:
    """Command line, environment and file alike: exit 2."""
    write_files(project, {"index.py": HANDLER})
    answers = [
        start_fails(project, home, "--max-instances", "0"),
        start_fails(project, home, "--sample", "nothing"),
        start_fails(project, home, "-e", "no-equals"),
        start_fails(project, home, "--code", "missing=."),
        start_fails(project, home, "--python", "/bin/true"),
        start_fails(project, home, str(project / "not-there")),
        start_fails(project, home, "-t", "not-there.yaml"),
    ]
    (project / "fc-emu.toml").write_text("max_instance = 3\n")
    answers.append(start_fails(project, home))

    assert [code for code, _ in answers] == [2] * len(answers)
    assert "max-instances" in answers[0][1]
    assert "quickstart" in answers[1][1]
    assert "max_instances" in answers[-1][1]


def test_options_come_from_file_then_environment_then_command_line(
    start: Starter, project: Path, home: Path
) -> None:
    """The later one wins."""
    write_files(
        project,
        {
            "index.py": "import os\n\ndef handler(event, context):\n"
            "    return context.account_id + ' ' + context.region\n",
            "fc-emu.toml": 'account_id = "111"\nregion = "from-file"\n',
        },
    )
    environ = clean_environment(home, FC_EMU_REGION="from-environment", FC_EMU_ACCOUNT_ID="222")

    emulator = start(project, "--account-id", "333", environ=environ)

    assert emulator.invoke("project").content == b"333 from-environment"


@pytest.mark.parametrize("how", ["shared", "file"])
def test_a_state_folder_that_cannot_be_used_is_exit_7(
    project: Path, home: Path, tmp_path: Path, how: str
) -> None:
    """Others may write to it; a file is in its place."""
    write_files(project, {"index.py": HANDLER})
    state = tmp_path / "state"
    if how == "shared":
        state.mkdir()
        state.chmod(0o777)
    else:
        state.touch()

    code, said = start_fails(project, home, "--state-dir", str(state))

    assert code == 7
    assert str(state) in said


def test_a_state_folder_with_something_else_in_it_is_exit_5(
    project: Path, home: Path, tmp_path: Path
) -> None:
    """The file is named and left as it is."""
    write_files(project, {"index.py": HANDLER})
    state = write_files(tmp_path / "state", {"uuid": "not one"})
    state.chmod(0o700)

    code, said = start_fails(project, home, "--state-dir", str(state))

    assert code == 5
    assert str(state / "uuid") in said
    assert (state / "uuid").read_text() == "not one"


def test_the_lenient_http_parser_is_refused(project: Path, home: Path) -> None:
    """Without aiohttp's C parser nothing is served."""
    write_files(project, {"index.py": HANDLER})
    environ = clean_environment(home, AIOHTTP_NO_EXTENSIONS="1")

    done = run_command("start", "-p", "0", "--admin-port", "0", cwd=project, environ=environ)

    assert done.returncode == 2
    assert b"C parser" in done.stderr


def test_a_state_folder_inside_the_code_is_refused(project: Path, home: Path) -> None:
    """It would be part of what it keeps."""
    write_files(project, {"index.py": HANDLER})

    code, said = start_fails(project, home, "--state-dir", str(project / "state"))

    assert code == 2
    assert "--state-dir" in said


def test_an_empty_folder_starts_too_and_says_what_was_looked_for(
    start: Starter, project: Path
) -> None:
    """An empty account: every service is unknown."""
    emulator = start(project)

    said = eventually(lambda: "no functions" in emulator.stderr() and emulator.stderr())
    assert "index.py" in said
    answer = emulator.invoke("f", service="svc")
    assert (answer.status_code, answer.json()["ErrorCode"]) == (404, "ServiceNotFound")


def test_a_runtime_that_is_not_emulated_is_listed_and_says_so_when_called(
    start: Starter, project: Path
) -> None:
    """501 for both kinds of call; the others run."""
    block = PROPS.partition("resources:\n")[2]
    node = block.replace("  f:", "  n:").replace("functionName: f", "functionName: n")
    write_files(
        project,
        {"code/index.py": HANDLER, "s.yaml": PROPS + node.replace("python3", "nodejs20")},
    )
    emulator = start(project)

    for kind in ("Sync", "Async"):
        answer = emulator.invoke("n", headers={"X-Fc-Invocation-Type": kind})
        assert (answer.status_code, answer.json()["ErrorCode"]) == (501, "NotImplemented")
        assert "nodejs20" in answer.json()["ErrorMessage"]
    assert emulator.invoke("f").content == b"1"
