"""Reading a folder: its project file first, then what the folder itself tells."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import structs

from emulator.project.blocks import entries
from emulator.project.code_folder import given_folder
from emulator.project.detect import MODULES, PLACES, detect
from emulator.project.environment import add_environment
from emulator.project.fc3 import Fc3File, read_functions
from emulator.project.files import exists, is_file, is_folder
from emulator.project.interpolate import UnresolvedError, Variables
from emulator.project.model import Notice, Project, ProjectError, ProjectFunction, Report, one_line
from emulator.project.overrides import Overrides, names_of
from emulator.project.recognise import Found, find_file, open_template
from emulator.project.scalars import js_text
from emulator.project.search import files_elsewhere

MAX_SEEN = 5
"""Files that are named as seen when nothing was found. Ours."""


def load_project(
    folder: Path,
    *,
    template: Path | None = None,
    environ: Mapping[str, str],
    code: Mapping[str, Path] = {},
    extra_env: Mapping[tuple[str, str], str] = {},
    default_python: str = "python3",
) -> Project:
    """Read the project of a folder.

    Looks at ``template`` when it is given, else at ``s.yaml`` and ``s.yml``, else for Python
    functions by their file names. A folder without any gives an empty project.

    Args:
        folder: where the project is.
        template: the project file to read instead of looking for one; relative to the current
            folder or, when it is not there, to ``folder``.
        environ: what ``${env('X')}`` refers to; no function gets it as a whole.
        code: another code path by function or block name; it may lie outside the project.
        extra_env: a value by function or block name and variable, over those of the file.
        default_python: runtime of a detected function that names no version.

    Raises:
        ProjectError: the project cannot be started as it is, or ``code`` or ``extra_env`` is for
            a function that it does not have.
    """
    if not is_folder(folder):
        raise ProjectError(str(folder), None, "is not a folder")
    folder = folder.resolve()
    overrides = Overrides(code, extra_env)
    notices: list[Notice] = []
    found = find_file(folder, notices) if template is None else _named_file(folder, template)
    if found is not None:
        return _from_file(found, environ, overrides, notices)
    return _from_folder(folder, default_python, overrides, notices)


def _named_file(folder: Path, template: Path) -> Found:
    path = template if exists(template) else folder / template
    absolute = path.absolute()
    inside = absolute.is_relative_to(folder)
    return open_template(path, str(absolute.relative_to(folder) if inside else template))


def _from_file(
    found: Found, environ: Mapping[str, str], overrides: Overrides, notices: list[Notice]
) -> Project:
    root = found.document.root
    report = Report(found.shown, notices)
    for key, first, last in found.document.duplicates:
        report.warn(last, key, f"is written twice, lines {first} and {last}; the last one counts")
    base_dir = found.path.absolute().parent.resolve()
    variables = Variables(found.shown, root, environ)
    file = Fc3File(root, base_dir, variables, overrides, report)
    functions, region = read_functions(file)
    name = _project_name(file)
    if variables.asked_environment and is_file(base_dir / ".env"):
        text = "not read yet: ${env(...)} takes its values from the environment alone; export them"
        notices.append(
            Notice(level="warn", where=str(Path(found.shown).with_name(".env")), text=text)
        )
    return Project(
        source=found.path.absolute(),
        format="fc3",
        base_dir=base_dir,
        name=name,
        region=region,
        functions=functions,
        notices=tuple(notices),
        looked_for="" if functions else f"{found.shown} holds no function of FC 3.0 (fc3)",
    )


def _project_name(file: Fc3File) -> str:
    """Give the file's name for the project, else that of its folder."""
    node = entries(file.root).get("name")
    fallback = one_line(file.base_dir.name) or "project"
    if node is None:
        return fallback
    try:
        value = file.variables.resolve(node).value
    except UnresolvedError as error:
        file.report.note(node.line, "name", f"{error}, {fallback!r} is used")
        return fallback
    if value in (None, "") or isinstance(value, list | dict):
        return fallback
    return one_line(js_text(value))


def _from_folder(
    folder: Path, default_python: str, overrides: Overrides, notices: list[Notice]
) -> Project:
    report = Report(folder.name or str(folder), notices)
    detected = detect(folder, default_python, notices)
    names = names_of((f.function.function_name, "") for f in detected)
    by_name = overrides.for_functions(names, report.file)
    functions = tuple(_overridden(function, by_name, report) for function in detected)
    elsewhere = files_elsewhere(folder)
    if functions:
        text = f"no project file: {len(functions)} found by file name; --explain shows an s.yaml"
        notices.append(Notice(level="note", text=text))
        for path in elsewhere:
            text = "is not read; start with it by -t"
            notices.append(Notice(level="note", where=path, text=text))
    return Project(
        source=None,
        format="detected" if functions else "empty",
        base_dir=folder,
        name=one_line(folder.name) or "project",
        region=None,
        functions=functions,
        notices=tuple(notices),
        looked_for="" if functions else _looked_for(elsewhere, notices),
    )


def _overridden(listed: ProjectFunction, overrides: Overrides, report: Report) -> ProjectFunction:
    name = listed.function.function_name
    env = add_environment({}, overrides.env_of(name), report=report, function=name)
    given = overrides.code.get(name)
    return ProjectFunction(
        function=structs.replace(listed.function, environment_variables=env),
        code_dir=listed.code_dir if given is None else given_folder(given, report, function=name),
    )


def _looked_for(elsewhere: list[str], notices: list[Notice]) -> str:
    files = ", ".join(f"{module}.py" for module in MODULES)
    parts = [f"no s.yaml or s.yml, no {files} with a function handler in {PLACES}"]
    parts += [f"{notice.where} {notice.text}" for notice in notices[:MAX_SEEN] if notice.where]
    if elsewhere:
        parts.append("start with one of " + ", ".join(f"-t {path}" for path in elsewhere))
    return one_line("; ".join(parts))
