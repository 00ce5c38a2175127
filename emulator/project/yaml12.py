"""YAML files by the rules of the vendor's tools, with the line of every key."""

import re

import yaml
from yaml.error import MarkedYAMLError
from yaml.reader import ReaderError

from emulator.project.model import ProjectError
from emulator.project.nodes import Document, DocumentBuilder, unfilled_placeholder

# The Python parser, where PyYAML has no other, knows the same YAML less the tabs.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Tabs that libyaml refuses and the JavaScript parsers take: on a line without content, and
# between a dash and its item.
_LOOSE_TAB = re.compile(r"^( *)\t[ \t]*(?=#|\r?$)|^((?: *-)+) *\t[ \t]*", re.MULTILINE)


def parse_yaml(data: bytes, file: str) -> Document:
    """Parse a file; nothing but text, numbers, booleans, null, lists and maps comes of it.

    Raises:
        ProjectError: not UTF-8, not YAML, more than one document, or larger than the limits.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ProjectError(file, line, "is not UTF-8 text; save it as UTF-8") from None
    try:
        return _parse(text, file)
    except yaml.YAMLError as error:
        without_tabs = _LOOSE_TAB.sub(r"\1\2 ", text)
        if without_tabs == text:
            raise _explained(error, text, file) from None
    try:
        return _parse(without_tabs, file)
    except yaml.YAMLError as error:
        raise _explained(error, text, file) from None


def _parse(text: str, file: str) -> Document:
    builder = DocumentBuilder(file, text)
    for event in yaml.parse(text, Loader=_LOADER):
        builder.take(event)
    return builder.document()


def _explained(error: yaml.YAMLError, text: str, file: str) -> ProjectError:
    if isinstance(error, ReaderError):
        line = text.encode().count(b"\n", 0, error.position) + 1
        return ProjectError(file, line, f"is not YAML: {error.reason}")
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return ProjectError(file, None, f"is not YAML: {error}")
    lines = text.splitlines() or [""]
    at = min(error.problem_mark.line, len(lines) - 1)
    nearby = (at, at - 1) if at > 0 else (at,)
    for number in nearby:
        if problem := unfilled_placeholder(lines[number]):
            return ProjectError(file, number + 1, problem)
    if re.match(r"[ \t-]*\t", lines[at]):
        return ProjectError(file, at + 1, "is indented with a tab; YAML takes only spaces there")
    return ProjectError(file, at + 1, f"is not YAML: {error.problem}")
