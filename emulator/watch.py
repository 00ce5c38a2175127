"""Tells of changes in project folders: kernel events where there are any, else by looking.

Only folders that count are watched, each by itself: a project's ``node_modules`` alone could use
up the watches that a kernel grants. Looking is our own: the one of watchfiles compares times in
whole seconds, so a second save within one second would go unnoticed.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from watchfiles._rust_notify import RustNotify

STEP_MS = 20
"""How often events are collected. Measured: 30 ms from a save to its report at 0.4 % of a CPU."""

DEBOUNCE_MS = 200
"""How long a burst is collected at most; whoever listens waits for quiet by a rule of its own."""

CHECK_MS = 1000
"""How often the roots are looked for: the kernel is silent when a folder above one is moved."""

POLL_S = 0.3
"""How often folders are looked at without kernel events, at most. As often as watchfiles does."""

POLL_SHARE = 0.008
"""The part of a CPU that looking may take: large folders are looked at less often. Ours."""

FIRST_RETRY_S = 0.1
LAST_RETRY_S = 5.0
"""The wait before the watch is set up again after an error doubles from the first to the last."""

_ARMING_ATTEMPTS = 5
"""How often arming is repeated while folders come and go. Ours; the check finds the rest."""

Counts = Callable[[str, str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Who hears, on the event loop: of changed paths, of what the user should know, of errors."""

    on_change: Callable[[set[str]], None]
    on_notice: Callable[[str], None]
    on_error: Callable[[Exception], None]


class Watcher:
    """Watches folders until it is closed, whatever happens to them.

    ``counts(root, path)`` says whether a change at ``path`` matters to the folder ``root``; if
    nothing below a folder does, it is not looked into. A root may be missing and is noticed when
    it appears. Links to folders are not followed. When the tree of folders has changed, and after
    an error, the roots themselves are reported: what happened meanwhile is not known.
    """

    def __init__(
        self,
        roots: Iterable[Path],
        *,
        counts: Counts,
        listeners: Listeners,
        force_polling: bool = False,
    ) -> None:
        self._scope = _Scope(tuple({str(root.absolute()): None for root in roots}), counts)
        self._tell = listeners
        self._polls = force_polling
        self._retry_s = FIRST_RETRY_S
        self._stop = threading.Event()
        self._closing = asyncio.Event()
        self._ready = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fc-emu-watch")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch; needs a running loop."""
        self._task = asyncio.create_task(self._run())

    async def ready(self) -> None:
        """Return once every later save will be reported.

        Or once the first attempt at that has failed, of which ``on_error`` was told.
        """
        await self._ready.wait()

    async def close(self) -> None:
        """Stop; return once no thread is left. Twice is fine."""
        self._stop.set()
        self._closing.set()
        if self._task is not None:
            await asyncio.wait([self._task])
        self._thread.shutdown()

    async def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    await self._watch(is_first=not self._ready.is_set())
                except _Refused as refusal:
                    self._polls = True
                    self._tell.on_notice(
                        f"code folders are polled, which sees a save later: {refusal}"
                    )
                except Exception as error:  # noqa: BLE001 - if it ended, saves would go unnoticed
                    self._ready.set()
                    self._tell.on_error(error)
                    await self._pause()
        finally:
            self._stop.set()
            self._thread.shutdown(wait=False)

    async def _watch(self, *, is_first: bool) -> None:
        loop = asyncio.get_running_loop()
        eye = await loop.run_in_executor(self._thread, self._open, loop.time)
        try:
            self._ready.set()
            changes = set() if is_first else set(self._scope.roots)
            while not self._stop.is_set():
                if changes:
                    self._tell.on_change(changes)
                changes = await loop.run_in_executor(self._thread, eye.wait, self._stop)
                self._retry_s = FIRST_RETRY_S
        finally:
            eye.close()

    def _open(self, now: Callable[[], float]) -> "_KernelEye | _PollingEye":
        return _PollingEye(self._scope, now) if self._polls else _KernelEye(self._scope)

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._retry_s):
                await self._closing.wait()
        self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)


class _Refused(Exception):
    """The kernel gives no events: a limit is reached, or it has none to give."""


@dataclass(frozen=True, slots=True)
class _Scope:
    """What is watched."""

    roots: tuple[str, ...]
    counts: Counts

    def matters(self, path: str) -> bool:
        """Say whether a change at ``path`` is to be reported."""
        return any(self.counts(root, path) for root in self.roots)

    def is_on_the_way(self, path: str) -> bool:
        """Say whether a root is, or would be, below ``path``."""
        return any(root.startswith(f"{path}/") for root in self.roots)

    def walk(self, root: str) -> "Iterator[tuple[str, list[os.DirEntry[str]]]]":
        """Give each folder that counts, with what is in it; nothing for a missing root."""
        pending = [root]
        while pending:
            folder = pending.pop()
            try:
                with os.scandir(folder) as entries:
                    items = list(entries)
            except OSError:
                continue
            yield folder, items
            pending += [
                item.path
                for item in items
                # Any name that is not ignored will do: the question is about all that is below.
                if item.is_dir(follow_symlinks=False) and self.counts(root, f"{item.path}/any")
            ]


class _KernelEye:
    """Events for every folder that counts, and for the nearest one above a missing root.

    Used by one thread. From construction on, no change goes unseen.
    """

    def __init__(self, scope: _Scope) -> None:
        self._scope = scope
        self._armed: dict[str, int] = {}
        self._notify: RustNotify | None = None
        self._arm()

    def wait(self, stop: threading.Event) -> set[str]:
        """Return what changed; an empty set after a while, or soon after ``stop`` is set."""
        assert self._notify is not None, "armed as long as it lives"
        found = self._notify.watch(DEBOUNCE_MS, STEP_MS, CHECK_MS, stop)
        paths = set() if isinstance(found, str) else {path for _, path in found}
        changes = {path for path in paths if self._scope.matters(path)}
        if not stop.is_set() and self._is_moved(paths) and self._arm():
            changes.update(self._scope.roots)
        return changes

    def close(self) -> None:
        """Let go of the kernel's watches."""
        if self._notify is not None:
            self._notify.close()
            self._notify = None

    def _arm(self) -> bool:
        """Watch the folders that are there now; False when they are watched already.

        Raises:
            _Refused: there are no events to be had.
        """
        is_new = False
        for _ in range(_ARMING_ATTEMPTS):
            folders = self._folders()
            if self._notify is not None and folders == self._armed:
                break
            self.close()
            try:
                # Not told to overlook missing permissions, as it would overlook limits as well.
                self._notify = RustNotify(list(folders), False, False, 0, False, False)
            except (FileNotFoundError, PermissionError):
                continue
            except (OSError, RuntimeError, UnicodeError) as error:
                raise _Refused(str(error).partition(". about [")[0]) from error
            self._armed = folders
            is_new = True
        if self._notify is None:
            raise FileNotFoundError(f"folders come and go too fast: {self._scope.roots}")
        return is_new

    def _folders(self) -> dict[str, int]:
        """Give the folders to watch, each with its inode: one may be replaced by another."""
        paths = [folder for root in self._scope.roots for folder, _ in self._scope.walk(root)]
        paths += [_anchor(root) for root in self._scope.roots]
        inodes = ((path, _inode(path)) for path in paths if os.access(path, os.R_OK))
        return {path: inode for path, inode in inodes if inode is not None}

    def _is_moved(self, paths: set[str]) -> bool:
        """Say whether folders may have come or gone, given the paths that changed."""
        for path in paths:
            is_ours = self._scope.matters(path) or self._scope.is_on_the_way(path)
            if is_ours and (path in self._armed or Path(path).is_dir()):
                return True
        return any(self._armed.get(at) != _inode(at) for at in map(_anchor, self._scope.roots))


def _anchor(root: str) -> str:
    """Give the nearest folder at or above ``root`` that exists."""
    path = Path(root)
    return str(next(folder for folder in (path, *path.parents) if folder.is_dir()))


def _inode(path: str) -> int | None:
    try:
        return Path(path).stat().st_ino
    except OSError:
        return None


class _PollingEye:
    """Looks at every file that counts, again and again; otherwise like the other eye."""

    def __init__(self, scope: _Scope, now: Callable[[], float]) -> None:
        self._scope = scope
        self._now = now
        self._delay_s = POLL_S
        self._seen = self._look()

    def wait(self, stop: threading.Event) -> set[str]:
        """Return what changed since the last look."""
        if stop.wait(self._delay_s):
            return set()
        before, self._seen = self._seen, self._look()
        return {path for path, _ in before.items() ^ self._seen.items()}

    def close(self) -> None:
        """Nothing is held."""

    def _look(self) -> dict[str, tuple[int, ...]]:
        began = self._now()
        seen: dict[str, tuple[int, ...]] = {}
        for root in self._scope.roots:
            for folder, items in self._scope.walk(root):
                seen[folder] = ()
                for item in items:
                    with suppress(OSError):
                        if self._scope.counts(root, item.path):
                            seen[item.path] = _stamp(item)
        self._delay_s = max(POLL_S, (self._now() - began) / POLL_SHARE)
        return seen


def _stamp(item: "os.DirEntry[str]") -> tuple[int, ...]:
    """Give what changes with a save; nothing for a folder, where it shows inside."""
    if item.is_dir(follow_symlinks=False):
        return ()
    status = item.stat(follow_symlinks=False)
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
