"""The code of a function in a project file: the folder that becomes its ``/code``."""

from pathlib import Path

from emulator.project.code_paths import (
    REMOTE,
    allowed_root,
    path_inside,
    resolved,
    unsupported_kind,
)
from emulator.project.files import is_folder
from emulator.project.model import ProjectError, Report
from emulator.project.properties import Properties, shown

KEY = "code"

NO_CODE = "(no code)"
"""Folder, below the project, of a function without a local path. Ours: it does not exist."""

_CONTAINER = "custom-container"


def given_folder(given: Path, report: Report, *, function: str) -> Path:
    """Give the absolute path of a function's code as the command line has it, anywhere.

    It need not exist yet, and may be a file, which cannot be served yet; both are a warning.

    Raises:
        ProjectError: it cannot be a path.
    """
    path = resolved(given)
    if path is None:
        raise report.error(None, f"--code {function}=...: {shown(str(given))} is no path")
    _report_state(report, 0, function, str(given), path)
    return path


def code_folder(props: Properties, base_dir: Path) -> Path:
    """Give the absolute path of a function's code as the project file has it.

    It lies inside the project. It need not exist yet, and may be a file, which cannot be served
    yet; without a path on this machine it is ``NO_CODE``. Each of these is a warning.

    Raises:
        ProjectError: the path leaves the project, or is none.
    """
    value = props.needed(KEY)
    line = props.line(KEY)
    nothing = base_dir / NO_CODE
    if value is None or value == "":
        _check_not_home(props, base_dir)
        _report_no_code(props)
        return nothing
    if isinstance(value, dict):
        text = _not_supported("code in OSS", props.name)
        props.report.warn(line, KEY, text, function=props.name)
        return nothing
    if not isinstance(value, str):
        message = f"{KEY} of {props.name} takes a path, found {shown(value)}"
        raise props.report.error(line, message)
    path = nothing if value.startswith(REMOTE) else path_inside(value, base_dir)
    if path is None:
        raise _outside(props, value, base_dir)
    _report_state(props.report, line, props.name, value, path)
    return path


def _check_not_home(props: Properties, base_dir: Path) -> None:
    """Refuse ``code: ~``, which YAML reads as null but somebody meant as a path."""
    if KEY in props.entries and props.entries[KEY].written == "~":
        raise _outside(props, "~", base_dir)


def _report_no_code(props: Properties) -> None:
    line = props.line(KEY)
    if props.needed("runtime") == _CONTAINER:
        props.report.note(line, KEY, "none given, the image brings it", function=props.name)
        return
    text = f"is missing, the function is listed but cannot run; {_option(props.name)}"
    props.report.warn(line, KEY, text, function=props.name)


def _report_state(report: Report, line: int, function: str, written: str, path: Path) -> None:
    key = KEY if line else "--code"
    if kind := unsupported_kind(written, path):
        text = _not_supported(f"{shown(written)} is {kind}, which", function)
        report.warn(line, key, text, function=function)
    elif not is_folder(path):
        text = f"{shown(written)} does not exist yet; build it, or {_option(function)}"
        report.warn(line, key, text, function=function)


def _not_supported(what: str, function: str) -> str:
    return f"{what} is not supported yet; unpack it and {_option(function)}"


def _option(function: str) -> str:
    return f"name a folder with --code {function}=PATH"


def _outside(props: Properties, written: str, base_dir: Path) -> ProjectError:
    message = (
        f"{KEY} of {props.name}: {shown(written)} leaves the project ({allowed_root(base_dir)}); "
        f"allow it with --code {props.name}=PATH"
    )
    return props.report.error(props.line(KEY), message)
