"""A folder with a function, an emulator, and the official SDK unchanged but for the endpoint."""

import re
import shlex
import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from time import time

import fc2
import pytest
import requests

from tests.e2e.conftest import Starter
from tests.support.docker_engine import docker_words
from tests.support.emulator_process import Emulator, clean_environment, eventually, write_files

ECHO = """
import os, sys, json

def handler(event, context):
    print("handling", context.request_id)
    if event == b"raise":
        raise ValueError("told to")
    if event == b"exit":
        os._exit(3)
    if event == b"sleep":
        import time
        time.sleep(60)
    if event == b"who":
        names = ["/proc/self/fd/" + fd for fd in os.listdir("/proc/self/fd")]
        open_files = [os.readlink(name) for name in names if os.path.islink(name)]
        return {"pid": os.getpid(), "sockets": [f for f in open_files if "socket" in f]}
    return event
"""

MARKS = """
import os, time

def handler(event, context):
    with open(os.environ["MARKS"], "a") as file:
        file.write("%s %s %.6f\\n" % (event.decode(), context.request_id, time.time()))
"""


def sdk(emulator: Emulator) -> fc2.Client:
    """The official Python SDK; credentials are any."""
    return fc2.Client(
        endpoint=emulator.endpoint, accessKeyID="an-id", accessKeySecret="a-secret", Timeout=30
    )


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def echo(start: Starter, project: Path, request: pytest.FixtureRequest) -> Emulator:
    """An emulator with one detected function, named like its folder, by each driver."""
    words = docker_words() if request.param == "docker" else ["--driver", "process"]
    return start(write_files(project, {"index.py": ECHO}), *words)


def test_sdk_invokes_a_detected_function_and_reads_result_log_and_request_id(
    echo: Emulator,
) -> None:
    """aliyun-fc2 gets payload, log tail and request id."""
    answer = sdk(echo).invoke_function(
        "any-service", "project", payload=b"\x00\xffbinary", headers={"x-fc-log-type": "Tail"}
    )

    assert answer.data == b"\x00\xffbinary"
    request_id = answer.headers["x-fc-request-id"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", request_id)
    tail = b64decode(answer.headers["x-fc-log-result"]).decode()
    assert f"FC Invoke Start RequestId: {request_id}\nhandling {request_id}\n" in tail
    assert re.search(
        r"FC Invoke End RequestId: \S+\n\nRequestId: \S+\nDuration: [0-9.]+ ms, "
        r"Billed Duration: \d+ ms, Memory Size: 512 MB, Max Memory Used: [0-9.]+ MB\n$",
        tail,
    )


def test_unknown_function_is_the_sdks_own_error(echo: Emulator) -> None:
    """404 FunctionNotFound arrives as FcError with that code."""
    with pytest.raises(fc2.FcError) as caught:
        sdk(echo).invoke_function("any-service", "missing", payload=b"")

    assert caught.value.status_code == 404
    assert caught.value.err_code == "FunctionNotFound"
    assert len(caught.value.request_id) == 36


def test_function_error_is_the_sdks_own_error(echo: Emulator) -> None:
    """An exception arrives with its type, its text and frames below /code."""
    with pytest.raises(fc2.FcError) as caught:
        sdk(echo).invoke_function("any-service", "project", payload=b"raise")
    told = echo.invoke("project", b"raise").json()

    assert caught.value.status_code == 200
    assert "told to" in str(caught.value)
    assert told == {
        "errorType": "ValueError",
        "errorMessage": "told to",
        "stackTrace": [
            ['File "/code/index.py"', "line 7", "in handler", 'raise ValueError("told to")']
        ],
    }


def test_exit_in_a_handler_is_told_with_the_services_text(echo: Emulator) -> None:
    """The process is gone; the next call gets another."""
    answer = echo.invoke("project", b"exit")

    assert answer.status_code == 200
    assert answer.headers["X-Fc-Error-Type"] == "UnhandledInvocationError"
    assert re.fullmatch(
        r"Process exited unexpectedly before completing request "
        r"\(duration: \d+ms, maxMemoryUsage: \d+MB\)",
        answer.json()["errorMessage"],
    )
    assert echo.invoke("project", b"again").content == b"again"


def test_timeout_is_told_with_the_services_text_and_the_stack_is_in_the_log(
    start: Starter, project: Path
) -> None:
    """A function past its timeout is ended within two seconds of it."""
    emulator = start(
        write_files(
            project,
            {
                "index.py": ECHO,
                "s.yaml": """
edition: 3.0.0
resources:
  slow:
    component: fc3
    props:
      functionName: slow
      runtime: python3
      handler: index.handler
      code: .
      timeout: 1
      memorySize: 128
""",
            },
        )
    )
    begun = time()

    answer = emulator.invoke("slow", b"sleep", headers={"X-Fc-Log-Type": "Tail"})

    assert 1 <= time() - begun < 3
    assert answer.headers["X-Fc-Error-Type"] == "UnhandledInvocationError"
    assert re.fullmatch(
        r"Function timed out after 1 seconds \(maxMemoryUsage: \d+\.\d\dMB\)",
        answer.json()["errorMessage"],
    )
    tail = b64decode(answer.headers["X-Fc-Log-Result"]).decode()
    assert "Dumping stack trace after function timeout" in tail
    assert "/code/index.py" in tail
    assert emulator.invoke("slow", b"again").content == b"again"


def test_a_hundred_calls_use_one_instance_one_process_and_one_connection(echo: Emulator) -> None:
    """The sockets of an accepted connection have an inode of their own, so it would show."""
    answers = [echo.invoke("project", b"who") for _ in range(100)]

    assert len({answer.headers["X-Fc-Instance-Id"] for answer in answers}) == 1
    assert len({answer.json()["pid"] for answer in answers}) == 1
    assert len({tuple(answer.json()["sockets"]) for answer in answers}) == 1
    assert len(answers[0].json()["sockets"]) == 1


@pytest.mark.timeout(120)
def test_the_last_line_is_in_the_tail_of_a_thousand_calls(start: Starter, project: Path) -> None:
    """What a handler prints last is never cut off by its answer."""
    source = "def handler(event, context):\n    print('last line of', event.decode())\n"
    emulator = start(write_files(project, {"index.py": source}))

    for number in range(1000):
        answer = emulator.invoke("project", str(number), headers={"X-Fc-Log-Type": "Tail"})

        assert f"last line of {number}\n".encode() in b64decode(answer.headers["X-Fc-Log-Result"])


def test_async_invocation_is_accepted_and_runs_once(
    start: Starter, project: Path, tmp_path: Path
) -> None:
    """202, no body, then one run with the request id of the answer."""
    emulator = with_marks(start, project, tmp_path)

    answer = sdk(emulator).invoke_function(
        "svc", "marks", payload=b"async", headers={"x-fc-invocation-type": "Async"}
    )

    assert answer.data == b""
    runs = eventually(lambda: marks(tmp_path))
    assert emulator.invoke("marks", b"sync").status_code == 200
    assert [run[0] for run in marks(tmp_path)] == ["async", "sync"]
    assert runs[0][1] == answer.headers["x-fc-request-id"]


def test_delayed_invocations_run_in_due_order_and_never_early(
    start: Starter, project: Path, tmp_path: Path
) -> None:
    """Submitted 2, 1, 0: run 0, 1, 2, none before its time."""
    emulator = with_marks(start, project, tmp_path)
    asked: dict[str, float] = {}

    for delay in ("2", "1", "0"):
        asked[delay] = time()
        answer = emulator.invoke(
            "marks", delay, headers={"X-Fc-Invocation-Type": "Async", "X-Fc-Async-Delay": delay}
        )
        assert (answer.status_code, answer.content) == (202, b"")
        assert not answer.headers["Content-Type"].startswith("application/json")

    runs = eventually(lambda: len(marks(tmp_path)) == 3 and marks(tmp_path))
    assert [run[0] for run in runs] == ["0", "1", "2"]
    for delay, _, at in runs:
        assert float(at) - asked[delay] >= float(delay)


def test_first_screen_is_short_and_what_it_shows_works_when_pasted(
    echo: Emulator, home: Path
) -> None:
    """At most 15 lines and one a function; the curl line and the SDK snippet run as they are."""
    echo.invoke("project", b"")
    screen = eventually(lambda: "fc2.Client" in echo.stderr() and echo.stderr()).splitlines()
    screen = screen[: next(i for i, line in enumerate(screen) if "fc2.Client" in line) + 1]
    curl = next(line for line in screen if line.strip().startswith("curl"))
    snippet = next(line for line in screen if "fc2.Client" in line)

    assert len(screen) <= 15 + 1
    driver = {"process": "isolated from nothing", "docker": "containers of the engine at"}
    said = driver[echo.ready["driver"]]
    for fact in ("endpoint", "admin", "state", echo.ready["driver"], said, "in memory"):
        assert any(fact in line for line in screen), fact
    assert b'{"name": "fc"}' in run_curl(curl, home)
    assert b"b'{}'" in paste(snippet, home)


def test_first_screen_names_ten_functions_and_counts_the_others(
    start: Starter, project: Path
) -> None:
    """Twelve functions: ten lines and ``+2 more``."""
    blocks = "".join(
        f"  f{n}:\n    component: fc3\n    props:\n      functionName: f{n}\n"
        "      runtime: python3\n      handler: index.handler\n      code: .\n"
        for n in range(12)
    )
    emulator = start(
        write_files(project, {"index.py": ECHO, "s.yaml": f"edition: 3.0.0\nresources:\n{blocks}"})
    )

    screen = eventually(lambda: "fc2.Client" in emulator.stderr() and emulator.stderr())

    assert "+2 more" in screen
    assert len(screen.splitlines()) <= 15 + 10
    assert emulator.invoke("f11", b"last").content == b"last"


def with_marks(start: Starter, project: Path, tmp_path: Path) -> Emulator:
    """An emulator whose function appends a line to a file for each run."""
    write_files(
        project,
        {
            "index.py": MARKS,
            "s.yaml": f"""
edition: 3.0.0
resources:
  marks:
    component: fc3
    props:
      functionName: marks
      runtime: python3
      handler: index.handler
      code: .
      timeout: 10
      environmentVariables:
        MARKS: {tmp_path / "marks"}
""",
        },
    )
    return start(project)


def marks(tmp_path: Path) -> list[list[str]]:
    """What the runs wrote: event, request id, instant."""
    path = tmp_path / "marks"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def run_curl(line: str, home: Path) -> bytes:
    """Run the curl line, or on a machine without curl send what it says."""
    if shutil.which("curl"):
        return paste(f"{line} -sS --noproxy '*'", home)
    program, dash_x, method, dash_d, data, url = shlex.split(line)
    assert (program, dash_x, dash_d) == ("curl", "-X", "-d")
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, data=data, timeout=10).content


def paste(line: str, home: Path) -> bytes:
    """Run a line as a person would who pastes it into a shell that has this environment."""
    environ = clean_environment(home, NO_PROXY="*")
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
    return subprocess.run(
        ["/bin/sh", "-c", line], env=environ, capture_output=True, timeout=30, check=True
    ).stdout
