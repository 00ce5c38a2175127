"""``fc-emu doctor`` on machines that are well, and on broken ones."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.docker_engine import engine_or_skip
from tests.support.emulator_process import clean_environment, command, run_command, write_files

SOURCE = "def handler(event, context):\n    return event\n"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
NOBODY = 65534


def s_yaml(runtime: str) -> str:
    """A project with one function."""
    return f"""
edition: 3.0.0
name: app
resources:
  hello:
    component: fc3
    props:
      functionName: hello
      runtime: {runtime}
      handler: index.handler
      code: ./
"""


@dataclass
class Report:
    """What the command ended with and found, by the names of the checks."""

    code: int
    items: dict[str, dict[str, Any]]

    @property
    def problems(self) -> set[str]:
        return {name for name, item in self.items.items() if item["level"] == "problem"}


def machine(home: Path, **more: str) -> dict[str, str]:
    """An environment with free ports, no proxies and no Docker engine that was named."""
    environ = clean_environment(home, FC_EMU_PORT="0", FC_EMU_ADMIN_PORT="0", **more)
    dropped = {"DOCKER_HOST", "DOCKER_CONTEXT", *PROXIES} - set(more)
    return {name: value for name, value in environ.items() if name not in dropped}


def examined(folder: Path, environ: Mapping[str, str]) -> Report:
    """Run ``doctor --json`` in a folder."""
    run = run_command("doctor", "--json", cwd=folder, environ=environ)
    assert run.stderr == b""
    items = json.loads(run.stdout)["items"]
    return Report(run.returncode, {item["check"]: item for item in items})


@pytest.fixture
def hello(project: Path) -> Path:
    """A project with one function for Python 3.12."""
    return write_files(project, {"index.py": SOURCE, "s.yaml": s_yaml("python3.12")})


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user may enter: that of pytest is closed to others."""
    with tempfile.TemporaryDirectory(prefix="fc-emu-doctor-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_a_healthy_machine_has_no_problems(home: Path, project: Path) -> None:
    """One line for each check; exit code 0, and nothing is written."""
    write_files(project, {"index.py": SOURCE})
    run = run_command("doctor", str(project), cwd=home, environ=machine(home))

    lines = run.stdout.decode().splitlines()
    assert (run.returncode, run.stderr) == (0, b"")
    assert any(line.startswith("ok       project: project ") for line in lines)
    assert any(line.startswith("ok       interpreter for python3: /") for line in lines)
    assert "ok       port 0: any free one" in lines
    assert "ok       proxy: none is set" in lines
    assert all(line.startswith(("ok ", "warning ", "         -> ")) for line in lines)
    assert [path.name for path in project.iterdir()] == ["index.py"]
    assert not (home / "state").exists()


def test_an_engine_that_was_named_and_is_down_is_a_problem(
    home: Path, hello: Path, tmp_path: Path
) -> None:
    """Of no image is anything said then, and the process driver's interpreter is."""
    address = f"unix://{tmp_path}/none.sock"
    report = examined(hello, machine(home, DOCKER_HOST=address))

    engine = report.items["docker engine"]
    assert (report.code, report.problems) == (1, {"docker engine"})
    assert address in engine["found"]
    assert engine["evidence"].startswith("DOCKER_HOST")
    assert "DOCKER_HOST" in engine["nextStep"]
    assert not any(name.startswith("image ") for name in report.items)
    assert set(engine) == {"check", "level", "found", "evidence", "nextStep"}


def test_a_context_whose_engine_is_down_is_a_warning(
    home: Path, hello: Path, tmp_path: Path
) -> None:
    """Functions run as processes; asking for docker makes it a problem."""
    meta = {
        "Name": "down",
        "Metadata": {},
        "Endpoints": {"docker": {"Host": f"unix://{tmp_path}/none.sock", "SkipTLSVerify": False}},
    }
    name = hashlib.sha256(b"down").hexdigest()
    write_files(
        home / ".docker",
        {
            "config.json": json.dumps({"currentContext": "down"}),
            f"contexts/meta/{name}/meta.json": json.dumps(meta),
        },
    )

    auto = examined(hello, machine(home))
    docker = examined(hello, machine(home, FC_EMU_DRIVER="docker"))

    assert (auto.code, auto.items["docker engine"]["level"]) == (0, "warning")
    assert (docker.code, docker.problems) == (1, {"docker engine"})


def test_a_socket_that_this_user_may_not_open_is_a_finding_of_its_own(public: Path) -> None:
    """Root may open everything: then an ordinary user is who asks."""
    folder = write_files(public / "project", {"index.py": SOURCE})
    path = public / "docker.sock"
    environ = machine(public, DOCKER_HOST=f"unix://{path}")
    # Another user cannot write measurements of coverage where this one does.
    environ = {name: value for name, value in environ.items() if not name.startswith("COV")}
    words = command("doctor", "--json", str(folder))
    if os.geteuid() == 0:
        words = [*as_nobody(environ), *words]

    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(path))
        server.listen()
        path.chmod(0)
        run = subprocess.run(
            words, cwd=Path.cwd(), env=environ, capture_output=True, timeout=30, check=False
        )

    assert (run.returncode, run.stderr) == (1, b"")
    found = {item["check"]: item for item in json.loads(run.stdout)["items"]}
    assert found["docker socket permission"]["level"] == "problem"
    assert str(path) in found["docker socket permission"]["found"]
    assert "usermod -aG docker" in found["docker socket permission"]["nextStep"]
    assert "docker engine" not in found


def as_nobody(environ: Mapping[str, str]) -> list[str]:
    """Words that run a command as a user without rights; skips when that one cannot read fc-emu."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root may open every socket, and there is no setpriv")
    words = [setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    trial = [*words, sys.executable, "-m", "emulator", "--version"]
    if subprocess.run(trial, env=dict(environ), capture_output=True, check=False).returncode:
        pytest.skip("root may open every socket, and no other user can read fc-emu")
    return words


def test_a_taken_port_is_a_problem(home: Path, hello: Path) -> None:
    """The holder is named; it is the environment's port that was tried."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        report = examined(hello, {**machine(home), "FC_EMU_PORT": str(port)})

    assert (report.code, report.problems) == (1, {f"port {port}"})
    assert f"127.0.0.1:{port} is in use" in report.items[f"port {port}"]["found"]
    if sys.platform == "linux":
        assert f"process {os.getpid()} " in report.items[f"port {port}"]["found"]


def test_a_function_without_interpreter_and_engine_is_a_problem(home: Path, hello: Path) -> None:
    """Nothing is on the PATH, and the one that is named is not there."""
    environ = machine(home, PATH="", FC_EMU_DRIVER="process")
    report = examined(hello, {**environ, "FC_EMU_PYTHON": str(home / "none")})

    assert (report.code, report.problems) == (1, {"interpreter"})
    assert str(home / "none") in report.items["interpreter"]["found"]
    assert "--python" in report.items["interpreter"]["nextStep"]


def test_a_machine_without_any_python_for_functions_is_a_problem(home: Path, hello: Path) -> None:
    """fc-emu's own Python, which is the last resort, is one without programs beside it."""
    program = (
        "import sys; sys.base_prefix = '/nonexistent'; sys.argv[1:] = ['doctor', '--json'];"
        "from emulator.cli import main; main()"
    )
    environ = machine(home, PATH="", FC_EMU_DRIVER="process")
    words = [sys.executable, "-c", program]
    run = subprocess.run(words, cwd=hello, env=environ, capture_output=True, check=False)

    found = {item["check"]: item for item in json.loads(run.stdout)["items"]}
    item = found["interpreter for python3.12"]
    assert (run.returncode, item["level"]) == (1, "problem")
    assert item["found"] == f"no Python 3.12 to run functions of {hello}"
    assert "put python3 on the PATH" in item["nextStep"]


def test_another_python_than_the_runtime_asks_for_is_a_warning(home: Path, project: Path) -> None:
    """With nothing on the PATH, it is the one below fc-emu's own."""
    other = "python3.9" if sys.version_info[:2] != (3, 9) else "python3.10"
    write_files(project, {"index.py": SOURCE, "s.yaml": s_yaml(other)})
    report = examined(project, machine(home, PATH="", FC_EMU_DRIVER="process"))

    item = report.items[f"interpreter for {other}"]
    assert (report.code, item["level"]) == (0, "warning")
    assert "is asked for" in item["found"]
    assert item["evidence"] == "functions hello"


def test_a_runtime_that_is_not_emulated_is_a_problem(home: Path, project: Path) -> None:
    """Such a function is listed by a start and cannot be called."""
    write_files(project, {"index.js": "", "s.yaml": s_yaml("nodejs18")})
    report = examined(project, machine(home, FC_EMU_DRIVER="process"))

    assert (report.code, report.problems) == (1, {"interpreter for nodejs18"})


def test_a_project_that_cannot_be_read_is_a_problem_beside_the_others(
    home: Path, project: Path
) -> None:
    """The checks of the machine are made all the same; a wrong option ends the command."""
    write_files(project, {"s.yaml": "edition: 3.0.0\nname: [\n"})
    report = examined(project, machine(home))
    write_files(project, {"fc-emu.toml": "prot = 1\n"})
    wrong = run_command("doctor", cwd=project, environ=machine(home))
    nowhere = run_command("doctor", "none", cwd=project, environ=machine(home))

    assert (report.code, report.problems) == (1, {"project"})
    assert "s.yaml" in report.items["project"]["found"]
    assert "port 0" in report.items
    assert (wrong.returncode, nowhere.returncode) == (2, 2)
    assert b"did you mean port?" in wrong.stderr


@pytest.mark.docker
def test_an_image_that_is_missing_has_its_next_step(home: Path, hello: Path) -> None:
    """A warning as long as processes will do; a problem once docker is asked for."""
    engine_or_skip()
    image = "fc-emu.invalid/none:1"
    environ = machine(home, FC_EMU_IMAGE=f"python3.12={image}")

    auto = examined(hello, environ)
    docker = examined(hello, {**environ, "FC_EMU_DRIVER": "docker"})

    item = auto.items[f"image {image}"]
    assert auto.items["docker engine"]["level"] == "ok"
    assert (auto.code, item["level"]) == (0, "warning")
    assert "fc-emu images pull python3.12" in item["nextStep"]
    assert (docker.code, docker.problems) == (1, {f"image {image}"})
