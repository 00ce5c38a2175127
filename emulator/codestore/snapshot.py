"""Makes a code version out of a project folder. Everything here blocks: it is for a thread.

A version is a copy of the folder. Only what was saved since the version before is read again;
the rest are hard links to the copies in that one, never to the user's files, which editors
write in place. Three things are not copied:

- dependency folders (``node_modules``, ``.venv`` …) are links to the user's own;
- a link inside the folder stays a link, rewritten where its text would lead back to the folder;
- a link that leaves the folder becomes one to its absolute target. What it leads to is live: it
  is neither frozen nor watched, and in a container it leads nowhere. ``Taken.outside`` names it.
"""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from emulator.codestore.checksum import Content, Name, name_version
from emulator.codestore.scan import Entry, Kind, is_settled, scan, stamp_of

ATTEMPTS = 4
"""How often a folder that changes while it is copied is copied. Ours; then the last one counts."""

_CHUNK_BYTES = 1 << 20

_REPLACED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
"""What opening a file says when it has gone, or is something else, since the folder was read."""


class Stopped(Exception):
    """The copy was given up because the emulator ends."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A thing as a version holds it; ``copy`` is the size and mtime of our own file."""

    entry: Entry
    detail: bytes
    copy: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A snapshot. ``folder`` is where it was written; "" when it is what was there before.

    ``begun_ns`` is the wall clock just before the folder was looked at.
    """

    name: Name
    folder: str
    pieces: dict[str, Piece]
    begun_ns: int

    @property
    def outside(self) -> list[tuple[str, str]]:
        """Links that leave the code folder, as pairs of path and target."""
        return self._targets("outside")

    @property
    def dependencies(self) -> list[tuple[str, str]]:
        """Folders that are linked and not copied, as pairs of path and target."""
        return self._targets("dependency")

    def _targets(self, kind: Kind) -> list[tuple[str, str]]:
        entries = ((path, piece.entry) for path, piece in self.pieces.items())
        return [(path, entry.target) for path, entry in entries if entry.kind == kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What to copy: a code folder, without the state folder, and how to tell the time.

    ``stopped`` is asked before each file.
    """

    root: str
    state: str
    wall_ns: Callable[[], int]
    stopped: Callable[[], bool] = field(default=lambda: False)


def take(source: Source, draft: Path, *, before: Taken | None) -> Taken:
    """Copy a code folder to ``draft``, which must not exist and holds a version on return.

    The copy is of one moment: it is repeated while the folder changes under it, a few times.
    ``before`` is an earlier version of the same folder, in its final place; when nothing differs
    from it, nothing is left at ``draft``.

    Raises:
        OSError: the folder is missing or cannot be read, or the copy cannot be written.
        Stopped: ``source.stopped()`` was true.
    """
    try:
        for attempt in range(1, ATTEMPTS + 1):
            _remove(draft)
            begun_ns = source.wall_ns()
            entries = scan(source.root, state=source.state)
            copy = _Copy(source, draft, before)
            name = copy.make(entries)
            if attempt == ATTEMPTS or scan(source.root, state=source.state) == entries:
                break
    except BaseException:
        _remove(draft)
        raise
    if before is not None and name == before.name:
        _remove(draft)
        return Taken(name=name, folder="", pieces=copy.pieces, begun_ns=begun_ns)
    return Taken(name=name, folder=str(draft), pieces=copy.pieces, begun_ns=begun_ns)


class _Copy:
    """One attempt at a copy."""

    def __init__(self, source: Source, draft: Path, before: Taken | None) -> None:
        self._source = source
        self._draft = str(draft)
        self._before = before
        self.pieces: dict[str, Piece] = {}

    def make(self, entries: dict[str, Entry]) -> Name:
        """Write ``entries`` to the draft; what has vanished since is left out."""
        Path(self._draft).mkdir(mode=0o700)
        unchanged: list[str] = []
        for path, entry in entries.items():
            if self._source.stopped():
                raise Stopped
            piece = self._unchanged(path, entry)
            if piece is not None:
                unchanged.append(path)
            else:
                piece = self._write(path, entry)
            if piece is not None:
                self.pieces[path] = piece
        name = self._name()
        if self._before is not None and name != self._before.name:
            rewritten = [path for path in unchanged if not self._link(path, self._before.folder)]
            name = self._name() if rewritten else name
        Path(self._draft).chmod(0o755)
        return name

    def _name(self) -> Name:
        return name_version(
            Content(path, piece.entry.kind, piece.entry.executable, piece.detail)
            for path, piece in self.pieces.items()
        )

    def _unchanged(self, path: str, entry: Entry) -> Piece | None:
        """Give the piece of the version before if the file cannot have been saved since."""
        if self._before is None or entry.kind != "file":
            return None
        piece = self._before.pieces.get(path)
        if piece is None or piece.entry != entry:
            return None
        return piece if is_settled(entry.stamp, self._before.begun_ns) else None

    def _link(self, path: str, folder: str) -> bool:
        """Link an unchanged file to its copy in ``folder``; False when it had to be copied again.

        A function may have written to that copy, or the file system may know no hard links.
        """
        if self._source.stopped():
            raise Stopped
        piece = self.pieces.pop(path)
        with suppress(OSError):
            status = os.lstat(f"{folder}/{path}")
            if (status.st_size, status.st_mtime_ns) == piece.copy:
                os.link(f"{folder}/{path}", f"{self._draft}/{path}", follow_symlinks=False)
                self.pieces[path] = piece
                return True
        again = self._write(path, piece.entry)
        if again is not None:
            self.pieces[path] = again
        return False

    def _write(self, path: str, entry: Entry) -> Piece | None:
        """Put one thing into the draft; None when its file has vanished."""
        to = f"{self._draft}/{path}"
        match entry.kind:
            case "file":
                return self._copy(path, entry, to)
            case "folder":
                Path(to).mkdir()
                Path(to).chmod(0o755)
                return Piece(entry, b"")
            case "link" | "outside" | "dependency":
                Path(to).symlink_to(entry.target)
                return Piece(entry, os.fsencode(entry.target))

    def _copy(self, path: str, entry: Entry, to: str) -> Piece | None:
        """Copy a file's bytes, its time and whether it may be run."""
        # O_NONBLOCK: should it be a pipe by now, opening must not wait for a writer.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            reader = os.open(f"{self._source.root}/{path}", flags)
        except OSError as error:
            if error.errno in _REPLACED:
                return None
            raise
        try:
            status = os.fstat(reader)
            if not stat.S_ISREG(status.st_mode):
                return None
            writer = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                digest = hashlib.sha256()
                size = 0
                for chunk in _chunks(reader, status.st_size):
                    digest.update(chunk)
                    size += _write_all(writer, chunk)
                os.fchmod(writer, 0o755 if entry.executable else 0o644)
                os.utime(writer, ns=(status.st_mtime_ns, status.st_mtime_ns))
            finally:
                os.close(writer)
        finally:
            os.close(reader)
        seen = Entry("file", entry.executable, stamp=stamp_of(status))
        return Piece(seen, digest.digest(), (size, status.st_mtime_ns))


def _chunks(reader: int, size: int) -> Iterator[bytes]:
    """Read to the end, in one go where the file is small; one more read proves that it ended."""
    while chunk := os.read(reader, min(size + 1, _CHUNK_BYTES)):
        yield chunk


def _write_all(writer: int, chunk: bytes) -> int:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(writer, rest) :]
    return len(chunk)


def _remove(draft: Path) -> None:
    """Remove a draft, whatever is there."""
    with suppress(FileNotFoundError):
        shutil.rmtree(draft)
