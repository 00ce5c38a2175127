"""The environment variables of a function, as text and under names the service takes."""

import re
from collections.abc import Mapping

from emulator.core.limits import MAX_ENVIRONMENT_BYTES
from emulator.project.interpolate import Block, UnresolvedError, Variables, is_text
from emulator.project.model import Report
from emulator.project.nodes import Node
from emulator.project.scalars import MAX_EXACT, js_text

KEY = "environmentVariables"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
"""Source: FC help, "Environment variables"."""

_RESERVED = "FC_"


def read_environment(
    node: Node | None, block: Block, *, variables: Variables, report: Report, function: str
) -> dict[str, str]:
    """Read ``environmentVariables``: every value as JavaScript would print it.

    A variable that cannot be had, or whose name the service refuses, is left out with a warning.

    Raises:
        ProjectError: a list or a map where text belongs.
    """
    if node is None:
        return {}
    try:
        entries = variables.outer(node, block).value
    except UnresolvedError as error:
        report.warn(node.line, KEY, f"{error}, all are left out", function=function)
        return {}
    if entries is None:
        return {}
    if not isinstance(entries, dict):
        raise report.error(node.line, f"{KEY} of {function} must be a map of names and values")
    env: dict[str, str] = {}
    for name, entry in entries.items():
        if problem := _name_problem(name):
            report.warn(entry.line, f"{KEY}.{name}", problem, function=function)
            continue
        try:
            value = variables.resolve(entry, block)
        except UnresolvedError as error:
            text = f"{error}, the variable is left out"
            report.warn(entry.line, f"{KEY}.{name}", text, function=function)
            continue
        if value.value is None:
            text = "has no value, the variable is left out"
            report.note(entry.line, f"{KEY}.{name}", text, function=function)
            continue
        env[name] = _text(name, value, report, function)
    return env


def add_environment(
    env: Mapping[str, str], extra: Mapping[str, str], *, report: Report, function: str
) -> dict[str, str]:
    """Add what the command line gives, by the same rules, and weigh the result.

    Raises:
        ProjectError: a value that no process can be given.
    """
    whole = dict(env)
    for name, value in extra.items():
        if problem := _name_problem(name):
            report.warn(0, f"-e {function}.{name}", problem, function=function)
        elif not is_text(value):
            raise report.error(None, f"-e {function}.{name}=... is not text")
        else:
            whole[name] = value
    size = sum(len(name.encode()) + len(value.encode()) for name, value in whole.items())
    if size > MAX_ENVIRONMENT_BYTES:
        text = f"{size} bytes in all, the service takes {MAX_ENVIRONMENT_BYTES}"
        report.warn(0, KEY, text, function=function)
    return whole


def _name_problem(name: str) -> str | None:
    if name.startswith(_RESERVED):
        return f"names starting with {_RESERVED} belong to the service, ignored"
    if not _NAME.fullmatch(name):
        return "the service takes letters, digits and _, a letter first; the variable is left out"
    return None


def _text(name: str, node: Node, report: Report, function: str) -> str:
    value = node.value
    if isinstance(value, list | dict):
        kind = "list" if isinstance(value, list) else "map"
        message = f"{KEY}.{name} of {function} is a {kind}; give text, quoted JSON for example"
        raise report.error(node.line, message)
    text = js_text(value)
    if not is_text(text):
        raise report.error(node.line, f"{KEY}.{name} of {function} holds a zero byte; remove it")
    if isinstance(value, float) and value.is_integer() and abs(value) > MAX_EXACT:
        report.warn(
            node.line,
            f"{KEY}.{name}",
            "a number of so many digits loses the last ones in the cloud; put it in quotes",
            function=function,
        )
    return text
