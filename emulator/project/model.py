"""What reading a project gives: functions and notices, or the one error that stops it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from emulator.core.resources import Function

Level = Literal["error", "warn", "note"]


def one_line(text: str) -> str:
    """Escape whatever would break a line or steer a terminal; the rest stays as it is."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing that differs from the cloud, or that was passed over.

    ``where`` is ``s.yaml:12`` or "". ``function`` is None when it concerns the whole project.
    ``note`` is shown on request only. ``str()`` is one line.
    """

    level: Level
    where: str = ""
    function: str | None = None
    key: str = ""
    text: str

    def __str__(self) -> str:
        place = f"{self.key} ({self.where})" if self.key and self.where else self.key or self.where
        start = "  ".join(part for part in (self.function, self.level, place) if part)
        return one_line(f"{start}: {self.text}")


class ProjectError(Exception):
    """The project cannot be started; ``str()`` is one line: ``FILE:LINE: message``.

    Attributes:
        file: the file as the user would name it.
        line: first line is 1; None when no line is to blame.
        message: names the key, what was found and what to do.
    """

    def __init__(self, file: str, line: int | None, message: str) -> None:
        place = file if line is None else f"{file}:{line}"
        super().__init__(one_line(f"{place}: {message}"))
        self.file = file
        self.line = line
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFunction:
    """A function and the absolute folder that becomes its ``/code``.

    The folder may be missing, or be a file such as a zip that this version does not unpack; a
    notice says so, and the function is listed all the same.
    """

    function: Function
    code_dir: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A user's folder as the emulator understands it.

    ``source`` is the file that was read. ``region`` is None when the project names none.
    ``looked_for`` is one line for a project without functions, otherwise "".
    """

    source: Path | None
    format: Literal["fc3", "detected", "empty"]
    base_dir: Path
    name: str
    region: str | None
    functions: tuple[ProjectFunction, ...]
    notices: tuple[Notice, ...]
    looked_for: str


@dataclass(slots=True)
class Report:
    """Collects the notices on one file and makes its errors.

    ``file`` is the file as the user would name it.
    """

    file: str
    notices: list[Notice] = field(default_factory=list)

    def warn(self, line: int, key: str, text: str, *, function: str | None = None) -> None:
        """Note a difference that the function may feel."""
        self._add("warn", line, key, text, function)

    def note(self, line: int, key: str, text: str, *, function: str | None = None) -> None:
        """Note a difference that it will not feel."""
        self._add("note", line, key, text, function)

    def error(self, line: int | None, message: str) -> ProjectError:
        """Make the error to raise."""
        return ProjectError(self.file, line, message)

    def _add(self, level: Level, line: int, key: str, text: str, function: str | None) -> None:
        where = f"{self.file}:{line}" if line else self.file
        notice = Notice(level=level, where=where, function=function, key=key, text=text)
        self.notices.append(notice)
