"""The file system as a project reader needs it: bounded, and without surprises."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from emulator.project.model import ProjectError

MAX_FILE_BYTES = 1024 * 1024
"""A larger file is not read. Ours: the largest real project file is a few KB."""

MAX_ENTRIES = 1000
"""Entries of one folder that are looked at. Ours."""

_PASSED_OVER = frozenset({"__pycache__", "node_modules", "venv"})


def is_file(path: Path) -> bool:
    """Whether there is a regular file; no, where the system will not tell."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether there is a folder; no, where the system will not tell."""
    try:
        return path.is_dir()
    except OSError:
        return False


def exists(path: Path) -> bool:
    """Whether there is anything; no, where the system will not tell."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def entries(folder: Path) -> list[Path]:
    """List a folder by name, no more than ``MAX_ENTRIES``; nothing if it cannot be listed."""
    try:
        return sorted(itertools.islice(folder.iterdir(), MAX_ENTRIES))
    except OSError:
        return []


def subfolders(folder: Path) -> Iterator[Path]:
    """Give the folders a user keeps code in: not hidden, no dependencies, no links."""
    for path in entries(folder):
        passed_over = path.name.startswith(".") or path.name in _PASSED_OVER
        if not passed_over and not path.is_symlink() and is_folder(path):
            yield path


def read_bytes(path: Path, shown: str) -> bytes:
    """Read a file that is small enough.

    Raises:
        ProjectError: it is no regular file, too large (said before it is read), or unreadable.
    """
    try:
        if not path.is_file():
            found = "is not a file" if path.exists() else "does not exist"
            raise ProjectError(shown, None, found)
        if path.stat().st_size > MAX_FILE_BYTES:
            size = path.stat().st_size
            message = f"has {size} bytes; files over {MAX_FILE_BYTES} bytes are not read"
            raise ProjectError(shown, None, message)
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES)
    except (OSError, ValueError) as error:
        raise ProjectError(shown, None, f"cannot be read: {error}") from None
