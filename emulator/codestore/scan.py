"""What a code folder holds at one moment, and when a time stamp may be trusted."""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emulator.codestore.exclusions import IGNORED_NAMES, is_dependency, is_ignored_file

RACY_NS = 50_000_000
"""How long after a save a second one may carry the same time stamp.

Kernels stamp files with a clock of 1 to 10 ms, network file systems with a coarser one. Ours.
"""

Kind = Literal["file", "folder", "link", "outside", "dependency"]
"""``outside`` is a link that leaves the code folder, ``dependency`` a folder linked as it is."""

Stamp = tuple[int, ...]
"""Of a file: mtime and ctime in ns, size, inode. Equal stamps mean equal bytes once settled."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in a code folder; ``target`` is where its link in a version points."""

    kind: Kind
    executable: bool = False
    target: str = ""
    stamp: Stamp = ()


def stamp_of(status: os.stat_result) -> Stamp:
    """Give what changes when a file is saved."""
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def is_settled(stamp: Stamp, moment_ns: int) -> bool:
    """Say whether a save after ``moment_ns`` would show in a stamp read at that moment.

    The ctime decides: each save sets it, and nobody can set it back.
    """
    return stamp[1] < moment_ns - RACY_NS


def scan(root: str, *, state: str) -> dict[str, Entry]:
    """List what a version of ``root`` would hold, by path relative to it, folders first.

    ``root`` and ``state`` are real paths; the state folder is left out when it lies inside.
    What vanishes meanwhile is left out; sockets, pipes and devices are too.

    Raises:
        OSError: ``root`` is no folder, or something in it cannot be read.
    """
    found: dict[str, Entry] = {}
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(f"{root}/{folder}") as entries:
                items = list(entries)
        except (FileNotFoundError, NotADirectoryError):
            if not folder:
                raise
            continue
        for item in items:
            path = f"{folder}{item.name}"
            entry = None
            if f"{root}/{path}" != state:
                with suppress(FileNotFoundError, NotADirectoryError):
                    entry = _describe(root, path, item)
            if entry is None:
                continue
            found[path] = entry
            if entry.kind == "folder":
                pending.append(f"{path}/")
    return found


def _describe(root: str, path: str, item: "os.DirEntry[str]") -> Entry | None:
    """Give the entry for ``item``; None when it has no place in a version.

    Raises:
        OSError: it has gone since it was listed, or cannot be read.
    """
    if is_dependency(path) and item.is_dir():
        return Entry("dependency", target=f"{root}/{path}")
    if item.is_symlink():
        return None if is_ignored_file(item.name) else _describe_link(root, path)
    if item.is_dir(follow_symlinks=False):
        return None if item.name in IGNORED_NAMES else Entry("folder")
    if not item.is_file(follow_symlinks=False) or is_ignored_file(item.name):
        return None
    status = item.stat(follow_symlinks=False)
    return Entry("file", bool(status.st_mode & stat.S_IXUSR), stamp=stamp_of(status))


def _describe_link(root: str, path: str) -> Entry:
    """Keep a link's text if it works in a copy, make it do so if it can, else leave the folder."""
    link = Path(root, path)
    target = os.fspath(link.readlink())
    here = path.rpartition("/")[0]
    if not target.startswith("/"):
        below = os.path.normpath(f"{here or '.'}/{target}")
        if below != ".." and not below.startswith("../"):
            return Entry("link", target=target)
    real = os.path.realpath(link)
    if real == root or real.startswith(f"{root}/"):
        return Entry("link", target=os.path.relpath(real, f"{root}/{here}"))
    return Entry("outside", target=os.path.normpath(link.parent / target))
