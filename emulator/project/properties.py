"""The ``props`` of one function block, read key by key."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from emulator.project.interpolate import Block, UnresolvedError, Variables
from emulator.project.model import Report
from emulator.project.nodes import Node, Value
from emulator.project.scalars import js_text

MAX_SHOWN = 60
"""Characters of a value that a message repeats. Ours."""

_DIGITS = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Properties:
    """Reads values with their variables filled in; a null is the same as no key.

    ``name`` is what messages call the function: its block, until its own name is known.
    """

    name: str
    block: Block
    entries: Mapping[str, Node]
    variables: Variables
    report: Report

    def line(self, key: str) -> int:
        """Give the line of a key, or that of the block when it has none."""
        return self.entries[key].line if key in self.entries else self.block.node.line

    def needed(self, key: str) -> Value:
        """Give the value of a key that the function cannot run without; None when not given.

        Raises:
            ProjectError: a variable in it has no value.
        """
        node = self.entries.get(key)
        if node is None:
            return None
        try:
            return self.variables.resolve(node, self.block).value
        except UnresolvedError as error:
            message = f"{key} of {self.name}: {error}; set it, or write the value here"
            raise self.report.error(node.line, message) from None

    def needed_text(self, key: str) -> str | None:
        """As ``needed``; text is expected, and an empty one is as good as none.

        Raises:
            ProjectError: a variable in it has no value, or it is no text.
        """
        value = self.needed(key)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            message = f"{key} of {self.name} takes text, found {shown(value)}"
            raise self.report.error(self.line(key), message)
        return value

    def whole_number(self, key: str, default: int, *, low: int, high: int) -> int:
        """Give a whole number from ``low`` to ``high``; one written as text is let pass.

        Raises:
            ProjectError: anything else.
        """
        value = self.needed(key)
        if value is None:
            return default
        number = value
        if isinstance(value, str):
            number = int(value) if _DIGITS.fullmatch(value) else math.nan
        fits = isinstance(number, int) and not isinstance(number, bool) and low <= number <= high
        if not fits or not isinstance(number, int):
            expected = f"takes a whole number from {low} to {high}"
            message = f"{key} of {self.name} {expected}, found {shown(value)}"
            raise self.report.error(self.line(key), message)
        if isinstance(value, str):
            text = f"{shown(value)} is text and taken as a number; remove the quotes"
            self.report.warn(self.line(key), key, text, function=self.name)
        return number

    def optional_text(self, key: str) -> str | None:
        """Give text that the function can do without; None when it cannot be had."""
        node = self.entries.get(key)
        if node is None:
            return None
        try:
            value = self.variables.resolve(node, self.block).value
        except UnresolvedError as error:
            self.report.note(node.line, key, f"{error}, left out", function=self.name)
            return None
        if isinstance(value, list | dict):
            text = f"takes text, found {shown(value)}, left out"
            self.report.warn(node.line, key, text, function=self.name)
            return None
        return None if value is None else js_text(value)


def shown(value: Value) -> str:
    """Word a value for a message."""
    match value:
        case dict():
            return "a map"
        case list():
            return "a list"
        case str():
            return repr(value if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]}...")
        case _:
            return js_text(value)
