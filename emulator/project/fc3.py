"""Functions of FC 3.0 in a Serverless Devs file."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from emulator.core.limits import (
    MAX_MEMORY_MB,
    MAX_NAME_LENGTH,
    MAX_TIMEOUT_S,
    MIN_MEMORY_MB,
    MIN_TIMEOUT_S,
)
from emulator.core.refs import is_function_name
from emulator.core.resources import Function
from emulator.project.blocks import entries, function_blocks
from emulator.project.code_folder import code_folder, given_folder
from emulator.project.environment import KEY as ENVIRONMENT
from emulator.project.environment import add_environment, read_environment
from emulator.project.interpolate import Block, UnresolvedError, Variables
from emulator.project.keys import PROPS, close_key, report_props, report_top_keys
from emulator.project.model import ProjectFunction, Report
from emulator.project.nodes import Node
from emulator.project.overrides import Overrides, names_of
from emulator.project.properties import Properties, shown

DEFAULT_TIMEOUT_S = 3
"""Source: fc3 component."""

DEFAULT_MEMORY_MB = 512
"""Source: fc3 component; 128 in FC 2.0."""

DEFAULT_HANDLER = "index.handler"
"""Source: fc3 component, its local command."""


@dataclass(frozen=True, slots=True)
class Fc3File:
    """A parsed file and what is needed to make functions of it.

    ``base_dir`` is absolute and free of links; the file's relative paths start there.
    """

    root: Node
    base_dir: Path
    variables: Variables
    overrides: Overrides
    report: Report


def read_functions(file: Fc3File) -> tuple[tuple[ProjectFunction, ...], str | None]:
    """Read all functions in the order of the file, and the region of the first that has one.

    Raises:
        ProjectError: one of them cannot be run as it is written, or two have one name.
    """
    report_top_keys(entries(file.root), file.report)
    named = list(_named(file))
    names = names_of((props.name, props.block.name) for props in named)
    overrides = file.overrides.for_functions(names, file.report.file)
    functions = tuple(_function(file, props, overrides) for props in named)
    return functions, _common_region(file.report, named)


def _named(file: Fc3File) -> Iterator[Properties]:
    """Give the functions' properties, each under its own name."""
    taken: dict[str, tuple[str, int]] = {}
    for block in function_blocks(file.root, file.variables, file.report):
        props = _properties(file, block)
        name = props.needed_text("functionName")
        if name is None:
            _pass_over_nameless(file, props)
            continue
        line = props.line("functionName")
        _check_name(name, line, file.report)
        if name.lower() in taken:
            other, other_line = taken[name.lower()]
            message = f"functionName {name!r} is also that of line {other_line}"
            if other != name:
                message = f"functionName {name!r} is {other!r} of line {other_line} up to case"
            raise file.report.error(line, f"{message} (lines {other_line} and {line}); rename one")
        taken[name.lower()] = name, line
        yield replace(props, name=name)


def _properties(file: Fc3File, block: Block) -> Properties:
    node = entries(block.node).get("props")
    if node is None:
        return Properties(block.name, block, {}, file.variables, file.report)
    try:
        value = file.variables.outer(node, block).value
    except UnresolvedError as error:
        raise file.report.error(node.line, f"props of {block.name}: {error}") from None
    if value is not None and not isinstance(value, dict):
        message = f"props of {block.name} must be a map, found {shown(value)}"
        raise file.report.error(node.line, message)
    return Properties(block.name, block, value or {}, file.variables, file.report)


def _pass_over_nameless(file: Fc3File, props: Properties) -> None:
    """Pass over a block whose name may come from what is not read yet; any other is an error."""
    if "extend" in entries(file.root) or "extend" in entries(props.block.node):
        text = "no functionName without extend, which is not honoured yet; the block is left out"
        file.report.warn(props.block.node.line, props.block.name, text)
        return
    unknown = (key for key in props.entries if key not in PROPS)
    likely = next((k for k in unknown if close_key(k, PROPS) == "functionName"), None)
    hint = f"did you mean it by {likely}?" if likely else "add one"
    message = f"functionName of {props.name} is missing; {hint}"
    raise file.report.error(props.block.node.line, message)


def _check_name(name: str, line: int, report: Report) -> None:
    if not is_function_name(name):
        rule = (
            f"letters, digits, '_', '-' and '$', a letter or '_' first, {MAX_NAME_LENGTH} at most"
        )
        raise report.error(line, f"functionName {shown(name)} is not a name; use {rule}")


def _function(file: Fc3File, props: Properties, overrides: Overrides) -> ProjectFunction:
    env = read_environment(
        props.entries.get(ENVIRONMENT),
        props.block,
        variables=file.variables,
        report=file.report,
        function=props.name,
    )
    extra = overrides.env_of(props.name)
    function = Function(
        function_name=props.name,
        runtime=_runtime(props),
        handler=props.needed_text("handler") or DEFAULT_HANDLER,
        timeout=props.whole_number(
            "timeout", DEFAULT_TIMEOUT_S, low=MIN_TIMEOUT_S, high=MAX_TIMEOUT_S
        ),
        memory_size=props.whole_number(
            "memorySize", DEFAULT_MEMORY_MB, low=MIN_MEMORY_MB, high=MAX_MEMORY_MB
        ),
        environment_variables=add_environment(env, extra, report=file.report, function=props.name),
        description=props.optional_text("description") or "",
    )
    given = overrides.code.get(props.name)
    if given is None:
        code_dir = code_folder(props, file.base_dir)
    else:
        code_dir = given_folder(given, file.report, function=props.name)
    report_props(props.name, dict(props.entries), file.report)
    return ProjectFunction(function=function, code_dir=code_dir)


def _runtime(props: Properties) -> str:
    runtime = props.needed_text("runtime")
    if runtime is None:
        text = "is missing, the function is listed but cannot run"
        props.report.warn(props.line("runtime"), "runtime", text, function=props.name)
    return runtime or ""


def _common_region(report: Report, named: list[Properties]) -> str | None:
    """Give the region of the first function that names one; there is one region here."""
    first: str | None = None
    for props in named:
        region = props.optional_text("region") or first
        if first is not None and region != first:
            text = f"{shown(region)} is not {shown(first)}, which holds for all functions here"
            report.warn(props.line("region"), "region", text, function=props.name)
        first = first or region
    return first
