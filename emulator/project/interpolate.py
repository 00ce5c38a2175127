"""The variables of a Serverless Devs file: ``${vars.a}``, ``${env('X')}``, ``${this.name}``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from emulator.project.model import ProjectError
from emulator.project.nodes import MAX_NODES, Node, Value
from emulator.project.scalars import js_text, plain_value

MAX_DEPTH = 100
"""Levels of nesting and of variables in variables. Ours: keeps the recursion short."""

MAX_TEXT = 1024 * 1024
"""Characters that variables bring into the texts of one file. Ours: stops text that doubles."""

MAX_SHOWN = 80
"""Characters of a variable that a message repeats. Ours."""

# The first brace ends a variable, whatever stands in between. Source: the vendor's parser, run.
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_PATH = re.compile(r"(vars|this)((?:\.[^.\[\]()\s]+|\[[0-9]{1,6}\])+)")
_STEP = re.compile(r"\.([^.\[\]]+)|\[([0-9]+)\]")
_ENV_MEMBER = re.compile(r"env\.([^.\s()]+)")
_ARGUMENT = r"""'[^']*'|"[^"]*"|[^\s,'"()]+"""
_ENV_CALL = re.compile(rf"env\(\s*({_ARGUMENT})\s*(?:,\s*({_ARGUMENT})\s*)?\)")


class UnresolvedError(Exception):
    """A variable that has no value here; what that means depends on the key it stands in."""


@dataclass(frozen=True, slots=True)
class Block:
    """An entry of ``resources`` or ``services``: what ``this`` is."""

    name: str
    node: Node


class Variables:
    """Fills in the variables of one file.

    A value that is one variable and nothing else keeps that variable's type; inside longer text
    it is turned into text. What comes from the environment is not looked at for variables.
    """

    def __init__(self, file: str, root: Node, environ: Mapping[str, str]) -> None:
        self.asked_environment = False
        self._file = file
        self._root = root
        self._environ = environ
        self._work = 0
        self._characters = 0
        self._trail: list[Node] = []
        self._depth = 0

    def resolve(self, node: Node, block: Block | None = None) -> Node:
        """Give the value with every variable in it filled in, at any depth.

        Raises:
            UnresolvedError: one of them has no value.
            ProjectError: they go round in a circle, or grow beyond the limits.
        """
        self._check_limits(node)
        self._depth += 1
        try:
            match node.value:
                case str() as text if not node.literal and "${" in text:
                    return self._filled(node, text, block)
                case list() as items:
                    return Node([self.resolve(item, block) for item in items], node.line)
                case dict() as entries:
                    return Node({k: self.resolve(v, block) for k, v in entries.items()}, node.line)
                case _:
                    return node
        finally:
            self._depth -= 1

    def outer(self, node: Node, block: Block | None = None) -> Node:
        """Follow the value as long as it is one variable; leave alone what is inside it.

        Raises:
            UnresolvedError, ProjectError: as ``resolve``.
        """
        mark = len(self._trail)
        try:
            while isinstance(node.value, str) and not node.literal:
                variable = _VARIABLE.fullmatch(node.value)
                if variable is None:
                    break
                self._enter(node)
                node = self._find(variable[1].strip(), block)
            return node
        finally:
            del self._trail[mark:]

    def _filled(self, node: Node, text: str, block: Block | None) -> Node:
        self._enter(node)
        try:
            if variable := _VARIABLE.fullmatch(text):
                value = self.resolve(self._find(variable[1].strip(), block), block).value
            else:
                value = _VARIABLE.sub(lambda found: self._as_text(found, node, block), text)
        finally:
            self._trail.pop()
        return Node(value, node.line, literal=isinstance(value, str))

    def _as_text(self, variable: re.Match[str], node: Node, block: Block | None) -> str:
        expression = variable[1].strip()
        value = self.resolve(self._find(expression, block), block).value
        if isinstance(value, list | dict):
            kind = "list" if isinstance(value, list) else "map"
            raise _unresolved(expression, f"is a {kind} and cannot stand inside text")
        text = "" if value is None else js_text(value)
        self._characters += len(text)
        if self._characters > MAX_TEXT:
            raise self._error(node.line, f"variables grow beyond {MAX_TEXT} characters")
        return text

    def _find(self, expression: str, block: Block | None) -> Node:
        """Give what an expression names, its own variables not yet filled in."""
        if path := _PATH.fullmatch(expression):
            return self._at_path(path, block)
        if member := _ENV_MEMBER.fullmatch(expression):
            return self._environment(expression, member[1], None, block)
        if call := _ENV_CALL.fullmatch(expression):
            return self._environment(expression, call[1].strip("'\""), call[2], block)
        raise _unresolved(expression, "is not a form that this version reads")

    def _environment(
        self, expression: str, name: str, default: str | None, block: Block | None
    ) -> Node:
        self.asked_environment = True
        value = self._environ.get(name)
        if default is not None and not value:
            return self._default(default, block)
        if value is None:
            raise _unresolved(expression, "is not set")
        if not is_text(value):
            raise _unresolved(expression, "is not text")
        return Node(value, 0, literal=True)

    def _default(self, argument: str, block: Block | None) -> Node:
        if path := _PATH.fullmatch(argument):
            return self._at_path(path, block)
        if argument[0] in "'\"":
            return Node(argument[1:-1], 0, literal=True)
        return Node(plain_value(argument), 0, literal=True)

    def _at_path(self, path: re.Match[str], block: Block | None) -> Node:
        node = self._root if path[1] == "vars" else self._this(block)
        steps = f".vars{path[2]}" if path[1] == "vars" else path[2]
        for step in _STEP.finditer(steps):
            inner = self._child(self.outer(node, block).value, step)
            if inner is None:
                raise _unresolved(path[0], "is not defined")
            node = inner
        return node

    def _this(self, block: Block | None) -> Node:
        """Give the block as ``this`` shows it: as it is written, with its name."""
        if block is None:
            return Node({}, 0)
        access = {key: node for key, node in _entries(self._root).items() if key == "access"}
        name = Node(block.name, block.node.line, literal=True)
        return Node({**access, **_entries(block.node), "name": name}, 0)

    def _child(self, value: Value, step: re.Match[str]) -> Node | None:
        match value:
            case dict() if step[1]:
                return value.get(step[1])
            case list() if step[2] and int(step[2]) < len(value):
                return value[int(step[2])]
            case _:
                return None

    def _enter(self, node: Node) -> None:
        """Put a value on the trail of those that are being filled in."""
        self._check_limits(node)
        if any(node is passed for passed in self._trail):
            names = " -> ".join(_clipped(str(passed.value)) for passed in (*self._trail, node))
            raise self._error(node.line, f"variables go round in a circle: {names}")
        self._trail.append(node)

    def _check_limits(self, node: Node) -> None:
        self._work += 1
        if self._work > MAX_NODES:
            raise self._error(node.line, f"variables grow beyond {MAX_NODES} values")
        if self._depth + len(self._trail) > MAX_DEPTH:
            raise self._error(node.line, f"variables are nested deeper than {MAX_DEPTH} levels")

    def _error(self, line: int, message: str) -> ProjectError:
        return ProjectError(self._file, line, message)


def _entries(node: Node) -> dict[str, Node]:
    return node.value if isinstance(node.value, dict) else {}


def _unresolved(expression: str, problem: str) -> UnresolvedError:
    return UnresolvedError(f"${{{_clipped(expression)}}} {problem}")


def _clipped(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def is_text(value: str) -> bool:
    """Whether it can be passed on; undecodable bytes of an environment variable cannot."""
    return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
