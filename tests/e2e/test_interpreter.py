"""Which Python runs a function: the project's, the machine's, never fc-emu's own by accident."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter
from tests.support.emulator_process import (
    clean_environment,
    eventually,
    started,
    write_files,
)

WHO = """
import sys

def handler(event, context):
    try:
        import aiohttp
    except ImportError:
        aiohttp = None
    return {"prefix": sys.prefix, "executable": sys.executable, "has_aiohttp": aiohttp is not None}
"""


@pytest.fixture(autouse=True)
def in_an_environment_of_its_own() -> None:
    """Without one there is nothing to keep apart."""
    assert sys.prefix != sys.base_prefix, "run the tests in a virtual environment"


def make_venv(folder: Path) -> Path:
    """Make a virtual environment without pip; give its Python."""
    base = getattr(sys, "_base_executable", sys.executable)
    subprocess.run([base, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    return folder / "bin" / "python"


def test_a_function_does_not_see_what_fc_emu_is_made_of(
    start: Starter, project: Path, home: Path
) -> None:
    """Even when fc-emu's environment is the active one and comes first on PATH."""
    write_files(project, {"index.py": WHO})
    own = str(Path(sys.prefix) / "bin")
    environ = clean_environment(home, VIRTUAL_ENV=sys.prefix, PATH=f"{own}:/usr/bin:/bin")

    emulator = start(project, environ=environ)

    answer = emulator.invoke("project").json()
    assert not answer["has_aiohttp"]
    assert os.path.realpath(answer["prefix"]) != os.path.realpath(sys.prefix)


@pytest.mark.parametrize("name", [".venv", "venv"])
def test_the_projects_own_environment_comes_first(start: Starter, project: Path, name: str) -> None:
    """``list`` shows it."""
    write_files(project, {"index.py": WHO})
    python = make_venv(project / name)

    emulator = start(project)

    (item,) = emulator.admin("/_emulator/functions").json()["items"]
    assert emulator.invoke("project").json()["prefix"] == str(project / name)
    assert item["interpreter"] == str(python)


def test_fc_emu_in_the_projects_own_environment_is_used_and_said(project: Path, home: Path) -> None:
    """As a test dependency; the one exception."""
    write_files(project, {"index.py": WHO})
    python = make_venv(project / ".venv")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    packages = project / ".venv" / "lib" / version / "site-packages"
    roots = [sysconfig.get_paths()["purelib"], str(Path(__file__).parents[2])]
    (packages / "fc-emu.pth").write_text("\n".join(roots) + "\n")

    with started(project, home=home, python=str(python)) as emulator:
        answer = emulator.invoke("project").json()
        said = eventually(lambda: "notice:" in emulator.stderr() and emulator.stderr())

    assert answer["prefix"] == str(project / ".venv")
    assert answer["has_aiohttp"]
    assert ".venv" in said.partition("notice:")[2]


def test_python_is_taken_as_named(start: Starter, project: Path, tmp_path: Path) -> None:
    """Before the project's own."""
    write_files(project, {"index.py": WHO})
    make_venv(project / ".venv")
    named = make_venv(tmp_path / "named")

    emulator = start(project, "--python", str(named))

    assert emulator.invoke("project").json()["prefix"] == str(tmp_path / "named")
