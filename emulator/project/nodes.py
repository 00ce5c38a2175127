"""What a YAML file holds: values with the lines of their keys, made from parser events."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from emulator.project.model import ProjectError
from emulator.project.scalars import Scalar, js_text, plain_value

MAX_NODES = 20_000
"""Values in a file, each alias and merge counted in full. Ours: real files have hundreds."""

MAX_DEPTH = 50
"""Levels of nesting, through aliases too. Ours: real files have about ten."""

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_PLACEHOLDER = re.compile(r"\{\{[^{}]*\}\}")

_CORE = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A value and the line of its key (of the value itself in a list and at the top).

    ``written`` is the source of a scalar without quotes. ``literal`` is text in which variables
    are not looked for. ``size`` counts the values in it, ``height`` its levels.
    """

    value: "Value"
    line: int
    written: str = ""
    literal: bool = False
    size: int = 1
    height: int = 1


Value = Scalar | list[Node] | dict[str, Node]


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file.

    ``custom_tags`` are ``(line, tag)``: read as if they were not there, nothing is run for them.
    ``duplicates`` are ``(key, first line, line that counts)``.
    """

    root: Node
    custom_tags: tuple[tuple[int, str], ...]
    duplicates: tuple[tuple[str, int, int], ...]


def unfilled_placeholder(line: str) -> str | None:
    """Say what is wrong with a line where a project template's placeholder was left unquoted."""
    found = _PLACEHOLDER.search(_QUOTED.sub("", line))
    if found is None:
        return None
    return f"{found[0]} is a placeholder that was never filled in; write a value or quote it"


@dataclass(frozen=True, slots=True)
class _Key:
    """The key of an entry whose value has not come yet."""

    name: str
    line: int
    merges: bool


@dataclass(slots=True)
class _Open:
    """A list or map whose end has not come yet."""

    line: int
    is_map: bool
    anchor: str | None
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Node] = field(default_factory=dict)
    merged: dict[str, Node] = field(default_factory=dict)
    key: _Key | None = None
    size: int = 1
    height: int = 1


class DocumentBuilder:
    """Turns parser events into nodes without recursion, so that no input is too deep for it."""

    def __init__(self, file: str, text: str) -> None:
        self._root: Node | None = None
        self._custom_tags: list[tuple[int, str]] = []
        self._duplicates: list[tuple[str, int, int]] = []
        self._file = file
        self._text = text
        self._open: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}
        self._count = 0

    def document(self) -> Document:
        """Give what the events so far add up to; a file without any is null."""
        root = self._root or Node(None, 1)
        return Document(root, tuple(self._custom_tags), tuple(self._duplicates))

    def take(self, event: yaml.Event) -> None:
        """Add the next event.

        Raises:
            ProjectError: a key that is no text, a second document, or larger than the limits.
        """
        line = event.start_mark.line + 1 if event.start_mark else 0
        match event:
            case yaml.ScalarEvent():
                node = self._scalar(event, line)
                if event.anchor:
                    self._anchors[event.anchor] = node
                self._put(node, line)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._begin(event, line)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._end(self._open.pop())
            case yaml.AliasEvent():
                self._put(self._alias(event.anchor or "", line), line)
            case yaml.DocumentStartEvent() if self._root is not None:
                raise self._error(line, "holds a second document; only one is allowed")

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> Node:
        text: str = event.value
        if event.tag is None and event.implicit[0]:
            return Node(plain_value(text), line, text)
        if event.tag in (None, "!", f"{_CORE}str"):
            return Node(text, line)
        kinds: dict[str, type | tuple[type, ...]] = {
            f"{_CORE}null": type(None),
            f"{_CORE}bool": bool,
            f"{_CORE}int": int,
            f"{_CORE}float": (int, float),
        }
        if event.tag not in kinds:
            self._custom_tags.append((line, event.tag))
            return Node(text, line)
        value = plain_value(text)
        if not isinstance(value, kinds[event.tag]):
            name = event.tag.removeprefix(_CORE)
            raise self._error(line, f"{text[:60]!r} is not a value of type !!{name}")
        return Node(value, line, text)

    def _begin(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, line: int) -> None:
        is_map = isinstance(event, yaml.MappingStartEvent)
        if self._open and self._open[-1].is_map and self._open[-1].key is None:
            raise self._bad_key(line)
        if event.tag not in (None, "!", f"{_CORE}map" if is_map else f"{_CORE}seq"):
            self._custom_tags.append((line, event.tag))
        if event.anchor:
            self._anchors[event.anchor] = None
        self._open.append(_Open(line, is_map, event.anchor))
        self._check_limits(line, added=1, depth=len(self._open))

    def _end(self, done: _Open) -> None:
        value = {**done.merged, **done.entries} if done.is_map else done.items
        node = Node(value, done.line, size=done.size, height=done.height)
        if done.anchor:
            self._anchors[done.anchor] = node
        self._count -= node.size
        self._put(node, done.line)

    def _alias(self, name: str, line: int) -> Node:
        if name not in self._anchors:
            raise self._error(line, f"*{name}: no &{name} comes before it")
        node = self._anchors[name]
        if node is None:
            raise self._error(line, f"*{name} stands inside &{name}")
        return node

    def _put(self, node: Node, line: int) -> None:
        self._check_limits(line, added=node.size, depth=len(self._open) + node.height - 1)
        if not self._open:
            self._root = node
            return
        top = self._open[-1]
        top.size += node.size
        top.height = max(top.height, node.height + 1)
        if not top.is_map:
            top.items.append(node)
        elif top.key is None:
            if isinstance(node.value, list | dict):
                raise self._bad_key(line)
            top.key = _Key(js_text(node.value), line, merges=node.written == "<<")
        else:
            self._enter(top, top.key, node)
            top.key = None

    def _enter(self, top: _Open, key: _Key, node: Node) -> None:
        if key.merges:
            for name, value in self._merge_sources(key, node):
                top.merged.setdefault(name, value)
            return
        if key.name in top.entries:
            self._duplicates.append((key.name, top.entries[key.name].line, key.line))
        top.entries[key.name] = Node(
            node.value, key.line, node.written, size=node.size, height=node.height
        )

    def _merge_sources(self, key: _Key, node: Node) -> Iterator[tuple[str, Node]]:
        for source in node.value if isinstance(node.value, list) else [node]:
            if not isinstance(source.value, dict):
                raise self._error(key.line, "<< takes a map or a list of maps")
            yield from source.value.items()

    def _check_limits(self, line: int, *, added: int, depth: int) -> None:
        self._count += added
        if self._count > MAX_NODES:
            raise self._error(line, f"has more than {MAX_NODES} values, aliases counted in full")
        if depth > MAX_DEPTH:
            raise self._error(line, f"is nested deeper than {MAX_DEPTH} levels")

    def _bad_key(self, line: int) -> ProjectError:
        problem = unfilled_placeholder(self._text.splitlines()[line - 1])
        return self._error(line, problem or "a key must be plain text")

    def _error(self, line: int, message: str) -> ProjectError:
        return ProjectError(self._file, line, message)
