import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emulator.interpreters import Found, NoInterpreter, Search, Wanted, find_python

REAL = Path(sys.executable).resolve()
"""A Python that belongs to no venv."""

HERE = "{}.{}".format(*sys.version_info)
ELSEWHERE = "3.6" if HERE != "3.6" else "3.7"


@pytest.fixture(scope="module")
def own_venv(tmp_path_factory) -> Path:
    """Where fc-emu is installed, in these tests."""
    folder = tmp_path_factory.mktemp("own") / "env"
    return make_venv(folder)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project" / "code").mkdir(parents=True)
    return tmp_path / "project"


@pytest.fixture
def find(project: Path) -> Callable[..., Found]:
    """find_python for a project with its code in ``code`` and an fc-emu that is in no venv."""

    def call(version: str | None = None, **changes) -> Found:
        arguments: dict[str, Any] = {
            "python": None,
            "code_dir": project / "code",
            "base_dir": project,
            "environ": {},
            "own_prefix": "/nowhere",
            "own_base_prefix": "/nowhere",
        }
        return find_python(version, **{**arguments, **changes})

    return call


def make_venv(folder: Path) -> Path:
    venv.EnvBuilder(symlinks=True).create(folder)
    return folder


def make_link(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(REAL)
    return path


def make_script(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


def test_named_python_wins(find, project, tmp_path):
    make_venv(project / ".venv")
    named = make_link(tmp_path / "bin" / "mine")

    found = find(python=named)

    assert found.path == named
    assert found.origin == "--python"


def test_named_python_that_does_not_run_is_an_error(find, project, tmp_path):
    """What the user named is not replaced by something else."""
    make_venv(project / ".venv")

    with pytest.raises(NoInterpreter, match=r"--python .*/missing: it does not run"):
        find(python=tmp_path / "missing")


@pytest.mark.parametrize("name", [".venv", "venv"])
def test_venv_of_the_project_comes_before_the_active_one(find, project, tmp_path, name):
    theirs = make_venv(project / name)
    active = make_venv(tmp_path / "active")

    found = find(environ={"VIRTUAL_ENV": str(active)})

    assert found.path == theirs / "bin" / "python", "its packages hang on the path inside the venv"
    assert found.origin == f"the project's {name}"
    assert found.version == ".".join(map(str, sys.version_info[:3]))
    assert found.notices == ()


def test_venv_beside_the_code_comes_before_the_one_of_the_project(find, project):
    make_venv(project / ".venv")
    theirs = make_venv(project / "code" / ".venv")

    assert find().path == theirs / "bin" / "python"


def test_broken_venv_of_the_project_is_passed_over_and_said(find, project, tmp_path):
    """As after an upgrade of the Python that it was made with."""
    broken = project / ".venv" / "bin" / "python"
    broken.parent.mkdir(parents=True)
    broken.symlink_to(tmp_path / "gone")
    python = make_link(tmp_path / "bin" / "python3")

    found = find(environ={"PATH": str(python.parent)})

    assert found.path == python
    assert found.notices == (f"{broken} is passed over: it does not run, or is no Python 3",)


def test_active_venv_comes_before_the_path(find, tmp_path):
    active = make_venv(tmp_path / "active")
    python = make_link(tmp_path / "bin" / "python3")

    found = find(environ={"VIRTUAL_ENV": str(active), "PATH": str(python.parent)})

    assert found.path == active / "bin" / "python"
    assert found.origin == "VIRTUAL_ENV"


def test_python_of_the_runtimes_version_comes_before_any_other(find, tmp_path):
    make_link(tmp_path / "first" / "python3")
    exact = make_link(tmp_path / "second" / f"python{HERE}")

    found = find(HERE, environ={"PATH": f"{tmp_path}/first:{tmp_path}/second"})

    assert found.path == exact
    assert found.origin == f"python{HERE} on the PATH"
    assert found.notices == ()


def test_other_version_is_said_once(project, tmp_path):
    python = make_link(tmp_path / "bin" / "python3")
    search = Search(
        project,
        python=None,
        environ={"PATH": str(python.parent)},
        own_prefix="/nowhere",
        own_base_prefix="/nowhere",
    )

    first = search.find(Wanted(ELSEWHERE, project / "code"))
    second = search.find(Wanted(ELSEWHERE, project / "other"))

    running = ".".join(map(str, sys.version_info[:3]))
    assert first.notices == (f"Python {ELSEWHERE} is asked for, {python} is {running}",)
    assert second.path == python
    assert second.notices == ()


def test_shim_is_resolved(find, tmp_path):
    """Instances start the real program, not a shell script that looks for it each time."""
    shim = make_script(tmp_path / "shims" / "python3", f'exec {REAL} "$@"')

    assert find(environ={"PATH": str(shim.parent)}).path == REAL


def test_name_that_does_not_run_is_skipped(find, tmp_path):
    """A shim exists for each version that is installed, whether or not it is switched on."""
    make_script(tmp_path / "shims" / f"python{HERE}", "exit 127")
    python = make_link(tmp_path / "bin" / "python3")

    found = find(HERE, environ={"PATH": f"{tmp_path}/shims:{tmp_path}/bin"})

    assert found.path == python
    assert found.notices == ()


def test_hanging_candidate_is_given_up(project, tmp_path):
    make_script(tmp_path / "shims" / "python3", "exec sleep 60")
    python = make_link(tmp_path / "bin" / "python3")
    search = Search(
        project,
        python=None,
        environ={"PATH": f"{tmp_path}/shims:{tmp_path}/bin:{os.defpath}"},
        own_prefix="/nowhere",
        own_base_prefix="/nowhere",
        timeout_s=0.5,
    )

    assert search.find(Wanted(None, project)).path == python


def test_relative_folders_on_the_path_are_not_searched(find, project, monkeypatch):
    """Or a program called python3 in a project would run at the start."""
    make_link(project / "python3")
    monkeypatch.chdir(project)

    with pytest.raises(NoInterpreter):
        find(environ={"PATH": ".:"})


def test_own_environment_is_skipped(find, tmp_path, own_venv):
    """An activated environment comes first on PATH and in VIRTUAL_ENV: neither is meant."""
    python = make_link(tmp_path / "bin" / "python3")

    found = find(
        environ={"VIRTUAL_ENV": str(own_venv), "PATH": f"{own_venv}/bin:{python.parent}"},
        own_prefix=str(own_venv),
        own_base_prefix=sys.base_prefix,
    )

    assert found.path == python
    assert found.notices == ()


def test_base_of_the_own_environment_serves_when_there_is_nothing_else(find, own_venv):
    found = find(
        environ={"PATH": f"{own_venv}/bin"},
        own_prefix=str(own_venv),
        own_base_prefix=sys.base_prefix,
    )

    assert found.path == Path(sys.base_prefix, "bin", "python3")
    assert found.origin == "the Python below fc-emu's own"


def test_own_environment_is_used_when_it_is_the_projects(find, project, own_venv):
    """fc-emu as a test dependency of the project."""
    (project / ".venv").symlink_to(own_venv)

    found = find(own_prefix=str(own_venv), own_base_prefix=sys.base_prefix)

    assert found.path == project / ".venv" / "bin" / "python"
    assert found.notices == (
        f"functions share {project}/.venv with fc-emu: its packages are theirs as well",
    )


def test_own_environment_is_used_when_it_is_named(find, own_venv):
    found = find(
        python=own_venv / "bin" / "python",
        own_prefix=str(own_venv),
        own_base_prefix=sys.base_prefix,
    )

    assert found.path == own_venv / "bin" / "python"
    assert len(found.notices) == 1


def test_python_that_is_too_old_is_refused(find, tmp_path):
    old = make_script(
        tmp_path / "bin" / "python3", """echo "('/old/python', (3, 5, 2), '/old')" """
    )

    with pytest.raises(NoInterpreter, match=r"it is Python 3\.5\.2, and 3\.6 is the oldest"):
        find(python=old)
    with pytest.raises(NoInterpreter, match=r"no Python 3\.10 to run functions of .*make a \.venv"):
        find("3.10", environ={"PATH": str(old.parent)})


def test_each_candidate_runs_once_for_all_functions(project, tmp_path):
    shim = make_script(
        tmp_path / "shims" / "python3", f"echo x >> {tmp_path}/runs", f'exec {REAL} "$@"'
    )
    search = Search(
        project,
        python=None,
        environ={"PATH": str(shim.parent)},
        own_prefix="/nowhere",
        own_base_prefix="/nowhere",
    )
    wanted = [Wanted(version, project / "code") for version in (HERE, ELSEWHERE, None)]

    results = search.find_all(wanted)

    assert [type(results[one]) for one in wanted] == [Found, Found, Found]
    assert (tmp_path / "runs").read_text() == "x\n"


def test_what_cannot_be_found_is_in_its_place(project):
    search = Search(
        project, python=None, environ={}, own_prefix="/nowhere", own_base_prefix="/nowhere"
    )
    wanted = Wanted("3.10", project / "code")

    results = search.find_all([wanted])

    assert isinstance(results[wanted], NoInterpreter)


def test_looking_runs_nothing_that_is_installed(find, project):
    """Packages may start whatever they like through a .pth file, and slowly."""
    theirs = make_venv(project / ".venv")
    packages = theirs / "lib" / f"python{HERE}" / "site-packages"
    trace = project / "trace"
    (packages / "loud.pth").write_text(f"import pathlib; pathlib.Path({str(trace)!r}).touch()\n")

    found = find()

    assert not trace.exists()
    subprocess.run([found.path, "-c", ""], check=True)
    assert trace.exists(), "the trap itself does not work"
