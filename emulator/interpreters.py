"""Finds the Python that runs a function: the project's own first, fc-emu's own never by accident.

Everything here blocks, up to ten seconds for a program that hangs: it is for a thread.
"""

import ast
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

OLDEST = (3, 6)
"""What the bootstrap runs on. Source: the service's oldest Python runtime, ``python3``, is 3.6."""

PROBE_TIMEOUT_S = 10
"""How long a candidate may take to tell its version; shims start a shell first. Ours."""

VENV_NAMES = (".venv", "venv")

# -S: nothing from site-packages runs. It also hides the venv before Python 3.14, which is why
# pyvenv.cfg is looked for here.
_PROBE = "import sys; print(ascii((sys.executable, sys.version_info[:3], sys.base_prefix)))"


class NoInterpreter(Exception):
    """There is no Python to run a function with; the text says what was tried and what to do."""


@dataclass(frozen=True, slots=True)
class Found:
    """A Python. ``origin`` says in words where it was found, ``notices`` what to know about it.

    ``path`` of a venv's Python is the one inside the venv: its packages hang on it.
    """

    path: Path
    version: str
    origin: str
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a function asks for: ``runtime_version`` as in ``3.10``, None when any will do."""

    runtime_version: str | None
    code_dir: Path


@dataclass(frozen=True, slots=True)
class _Probed:
    """What a candidate told about itself; ``prefix`` is its venv's, or its installation's."""

    path: Path
    version: tuple[int, ...]
    prefix: str

    @property
    def shown(self) -> str:
        return ".".join(map(str, self.version))


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A place where a Python may be.

    ``is_meant`` when the project or the user points at it: then it is worth a word that it will
    not do, and it may be where fc-emu itself is installed.
    """

    path: Path
    origin: str
    is_meant: bool = False


class Search:
    """Looks for the interpreters of one project; runs each candidate once for all its functions.

    ``python`` is what the user named. ``PATH`` and ``VIRTUAL_ENV`` are read from ``environ``,
    with which candidates are run, in ``base_dir``: shims choose by both. ``own_prefix`` and
    ``own_base_prefix`` are ``sys.prefix`` and ``sys.base_prefix`` of fc-emu.
    """

    def __init__(
        self,
        base_dir: Path,
        *,
        python: Path | None,
        environ: Mapping[str, str],
        own_prefix: str,
        own_base_prefix: str,
        timeout_s: float = PROBE_TIMEOUT_S,
    ) -> None:
        self._base_dir = base_dir
        self._python = python
        self._environ = environ
        self._own_prefix = os.path.realpath(own_prefix)
        self._own_base = Path(own_base_prefix)
        self._is_in_venv = self._own_prefix != os.path.realpath(own_base_prefix)
        self._timeout_s = timeout_s
        self._probed: dict[Path, _Probed | str] = {}
        self._told: set[str] = set()

    def find(self, wanted: Wanted) -> Found:
        """Find the Python for one function. No notice is given twice.

        Raises:
            NoInterpreter: none will do, or the one that the user named will not.
        """
        notices: list[str] = []
        for candidate in self._candidates(wanted):
            probed = self._accept(candidate)
            if isinstance(probed, _Probed):
                notices += self._remarks(wanted, probed)
                new = tuple(notice for notice in notices if notice not in self._told)
                self._told.update(new)
                return Found(probed.path, probed.shown, candidate.origin, new)
            if self._python is not None:
                raise NoInterpreter(f"{candidate.origin} {candidate.path}: {probed}")
            if candidate.is_meant:
                notices.append(f"{candidate.path} is passed over: {probed}")
        asked = f"Python {wanted.runtime_version}" if wanted.runtime_version else "Python"
        passed_over = "".join(f" ({notice})" for notice in notices)
        raise NoInterpreter(
            f"no {asked} to run functions of {wanted.code_dir} with: make a .venv in "
            f"{self._base_dir}, put python3 on the PATH, or name one with --python{passed_over}"
        )

    def find_all(self, wanted: Iterable[Wanted]) -> dict[Wanted, Found | NoInterpreter]:
        """Find the Python for each; what ``find`` would raise is in its place."""
        results: dict[Wanted, Found | NoInterpreter] = {}
        for one in wanted:
            try:
                results[one] = self.find(one)
            except NoInterpreter as error:
                results[one] = error
        return results

    def _candidates(self, wanted: Wanted) -> Iterator[_Candidate]:
        """Give the places in order; all but named and meant ones without looking."""
        if self._python is not None:
            yield _Candidate(self._python.absolute(), "--python", is_meant=True)
            return
        for folder in dict.fromkeys((wanted.code_dir, self._base_dir)):
            for name in VENV_NAMES:
                path = folder.absolute() / name / "bin" / "python"
                if os.path.lexists(path):
                    yield _Candidate(path, f"the project's {name}", is_meant=True)
        active = self._environ.get("VIRTUAL_ENV", "")
        if active:
            yield _Candidate(Path(active, "bin", "python"), "VIRTUAL_ENV")
        names = [f"python{wanted.runtime_version}"] if wanted.runtime_version else []
        for name in dict.fromkeys([*names, "python3"]):
            for folder in self._search_path():
                if os.access(folder / name, os.X_OK):
                    yield _Candidate(folder / name, f"{name} on the PATH")
        yield _Candidate(self._own_base / "bin" / "python3", "the Python below fc-emu's own")

    def _search_path(self) -> Iterator[Path]:
        """Give the folders on PATH; a relative one would run programs out of the project."""
        for entry in dict.fromkeys(self._environ.get("PATH", "").split(os.pathsep)):
            folder = Path(entry)
            if folder.is_absolute():
                yield folder

    def _accept(self, candidate: _Candidate) -> _Probed | str:
        """Give what the candidate is, or why it will not do."""
        if candidate.path not in self._probed:
            self._probed[candidate.path] = self._probe(candidate.path)
        probed = self._probed[candidate.path]
        if isinstance(probed, str):
            return probed
        if probed.version < OLDEST:
            return f"it is Python {probed.shown}, and 3.6 is the oldest that can be used"
        if self._is_own(probed) and not candidate.is_meant:
            return "fc-emu itself is installed there"
        return probed

    def _is_own(self, probed: _Probed) -> bool:
        return self._is_in_venv and os.path.realpath(probed.prefix) == self._own_prefix

    def _remarks(self, wanted: Wanted, probed: _Probed) -> Iterator[str]:
        """Say what the user should know about the choice."""
        if self._is_own(probed):
            yield f"functions share {probed.prefix} with fc-emu: its packages are theirs as well"
        asked = wanted.runtime_version
        if asked is not None and not f"{probed.shown}.".startswith(f"{asked}."):
            yield f"Python {asked} is asked for, {probed.path} is {probed.shown}"

    def _probe(self, path: Path) -> _Probed | str:
        """Run a candidate; give what it is, or why that is not known."""
        try:
            run = subprocess.run(
                [path, "-I", "-S", "-c", _PROBE],
                cwd=self._base_dir if self._base_dir.is_dir() else None,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._timeout_s,
                check=True,
            )
            executable, version, base_prefix = ast.literal_eval(run.stdout.decode())
        except subprocess.TimeoutExpired:
            return f"it did not answer within {self._timeout_s:g} s"
        except (OSError, subprocess.CalledProcessError, ValueError, SyntaxError):
            return "it does not run, or is no Python 3"
        found = Path(executable or path)
        venv = found.parent.parent
        is_venv = any((folder / "pyvenv.cfg").is_file() for folder in (found.parent, venv))
        return _Probed(found, version, str(venv) if is_venv else base_prefix)


def find_python(
    runtime_version: str | None,
    *,
    python: Path | None,
    code_dir: Path,
    base_dir: Path,
    environ: Mapping[str, str],
    own_prefix: str,
    own_base_prefix: str,
) -> Found:
    """Find the Python for one function of a project; ``Search`` does so for several.

    Raises:
        NoInterpreter: none will do, or the one that the user named will not.
    """
    search = Search(
        base_dir,
        python=python,
        environ=environ,
        own_prefix=own_prefix,
        own_base_prefix=own_base_prefix,
    )
    return search.find(Wanted(runtime_version, code_dir))
