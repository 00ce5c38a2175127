"""Functions of a folder without a project file, found by the usual file names."""

import ast
import re
import unicodedata
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from emulator.core.limits import MAX_NAME_LENGTH
from emulator.core.resources import Function
from emulator.project.files import entries, is_file, is_folder, read_bytes, subfolders
from emulator.project.model import Notice, ProjectError, ProjectFunction

TIMEOUT_S = 60
"""Ours: nobody without a configuration chose the service's 3 seconds."""

MEMORY_MB = 512
"""Source: default of FC 3.0."""

MODULES = ("index", "main", "handler", "app")
"""Names of the file with the handler, the first one that has it. Source: official templates."""

PLACES = "the folder itself, code/, src/, functions/* and packages/*"
"""Where they are looked for, in this order, in words."""

_NOT_YET = {
    "bootstrap": "a custom runtime",
    "index.mjs": "Node.js",
    "index.js": "Node.js",
    "index.cjs": "Node.js",
    "package.json": "Node.js",
    "index.php": "PHP",
    "go.mod": "Go",
    "pom.xml": "Java",
    "build.gradle": "Java",
    "Dockerfile": "a container",
}
_WSGI = ("environ", "start_response")
_HANDLER = re.compile(
    r"^(?P<awaited>async[ \t]+)?def[ \t]+handler[ \t]*\((?P<parameters>[^)]*)", re.MULTILINE
)
_VERSION = re.compile(r"(?:python-?)?3\.([0-9]{1,3})\b")


@dataclass(frozen=True, slots=True)
class Handler:
    """A function called ``handler`` at the top of a file."""

    parameters: tuple[str, ...]
    awaited: bool


def detect(folder: Path, default_python: str, notices: list[Notice]) -> tuple[ProjectFunction, ...]:
    """Find the Python functions of a folder, one per folder that has any.

    ``folder`` is absolute and free of links. ``default_python`` is the runtime of a function
    whose folder does not name a version. Reads files, runs nothing.
    """
    found: list[ProjectFunction] = []
    for place in _places(folder):
        notices.extend(_not_yet(place, folder))
        handler = _handler_of(place, folder, notices)
        if handler is None:
            continue
        name = _free_name(valid_name(place.name), {f.function.function_name for f in found})
        function = Function(
            function_name=name,
            runtime=_runtime(place, folder) or default_python,
            handler=handler,
            timeout=TIMEOUT_S,
            memory_size=MEMORY_MB,
        )
        found.append(ProjectFunction(function=function, code_dir=place))
    return tuple(found)


def valid_name(text: str) -> str:
    """Make a function name of a folder's name; letters lose their accents."""
    plain = unicodedata.normalize("NFKD", text)
    ascii_only = "".join(c for c in plain if not unicodedata.combining(c))
    name = re.sub(r"[^A-Za-z0-9_]+", "-", ascii_only).strip("-") or "function"
    return (name if not name[0].isdigit() else f"fn-{name}")[:MAX_NAME_LENGTH]


def _free_name(name: str, taken: set[str]) -> str:
    """Number a name that another function has, in any letter case."""
    lower = {other.lower() for other in taken}
    number, free = 1, name
    while free.lower() in lower:
        number += 1
        free = f"{name[: MAX_NAME_LENGTH - 6]}-{number}"
    return free


def _places(folder: Path) -> Iterator[Path]:
    yield folder
    for name in ("code", "src"):
        if is_folder(folder / name) and not (folder / name).is_symlink():
            yield folder / name
    for name in ("functions", "packages"):
        if not (folder / name).is_symlink():
            yield from subfolders(folder / name)


def _not_yet(place: Path, folder: Path) -> Iterator[Notice]:
    names = {path.name for path in entries(place)}
    for name, kind in _NOT_YET.items():
        if name in names:
            text = f"looks like {kind}: not emulated yet"
            yield Notice(level="note", where=_shown(place / name, folder), text=text)
    for name in sorted(names):
        if name.endswith(".csproj"):
            text = "looks like .NET: not emulated yet"
            yield Notice(level="note", where=_shown(place / name, folder), text=text)


def _handler_of(place: Path, folder: Path, notices: list[Notice]) -> str | None:
    for module in MODULES:
        path = place / f"{module}.py"
        where = _shown(path, folder)
        handler = _handler_in(path)
        if handler is None:
            continue
        if handler.parameters == _WSGI:
            text = "handler(environ, start_response) is an HTTP handler of FC 2.0: not emulated yet"
            notices.append(Notice(level="warn", where=where, text=f"{text}, passed over"))
            continue
        if handler.awaited:
            text = "async def handler is not awaited, as in the cloud; make it a plain def"
            notices.append(Notice(level="warn", where=where, text=text))
        return f"{module}.handler"
    return None


def _handler_in(path: Path) -> Handler | None:
    if not is_file(path):
        return None
    try:
        source = read_bytes(path, path.name)
    except ProjectError:
        return None
    try:
        # A file may warn while it is parsed, and it is not our place to pass that on.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _handler_by_pattern(source)
    for statement in body:
        if (
            isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef)
            and statement.name == "handler"
        ):
            arguments = statement.args.posonlyargs + statement.args.args
            names = tuple(argument.arg for argument in arguments)
            return Handler(names, isinstance(statement, ast.AsyncFunctionDef))
    return None


def _handler_by_pattern(source: bytes) -> Handler | None:
    """Find the handler in a file that is broken at the moment, or of another Python."""
    found = _HANDLER.search(source.decode("utf-8", "replace"))
    if found is None:
        return None
    names = tuple(re.findall(r"[^\W\d]\w*", found["parameters"]))
    return Handler(names, found["awaited"] is not None)


def _runtime(place: Path, folder: Path) -> str | None:
    for home in dict.fromkeys((place, folder)):
        for name in (".python-version", "runtime.txt"):
            if version := _version_in(home / name):
                return f"python{version}"
    return None


def _version_in(path: Path) -> str | None:
    if not is_file(path):
        return None
    try:
        text = read_bytes(path, path.name).decode("utf-8", "replace")
    except ProjectError:
        return None
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    found = _VERSION.match(first)
    return f"3.{found[1]}" if found else None


def _shown(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
