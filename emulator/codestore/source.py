"""The current code of every function whose code is a project folder.

A call looks at its handler's own file, one ``stat``; everything else is heard from a watcher.
Either way the folder is snapshotted once it is quiet, one snapshot at a time, for all functions
and all calls that share it. A round is that: the wait for quiet, the copy, the new version.
"""

import asyncio
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from os.path import realpath
from pathlib import Path

from emulator.codestore.exclusions import counts
from emulator.codestore.handler_file import HandlerFile, Look
from emulator.codestore.snapshot import Taken
from emulator.codestore.store import Store
from emulator.core.resources import Function
from emulator.engine.ports import CodeUnavailable, CodeVersion

QUIET_S = 0.020
"""How long nothing may have changed before a snapshot: editors and tools save in bursts. Ours."""

BURST_S = 0.500
"""How long a burst may last before it is snapshotted all the same. Ours."""

CALLER_QUIET_S = 0.300
"""How long one call waits for quiet. Ours: longer would feel like a hang."""


@dataclass(slots=True)
class _Folder:
    """A code folder. It is dirty while ``changes`` is ahead of ``covered``."""

    path: str
    handlers: dict[str, HandlerFile] = field(default_factory=dict)
    version: CodeVersion | None = None
    taken: Taken | None = None
    failure: CodeUnavailable | None = None
    changes: int = 0
    covered: int = 0
    copies_begun: int = 0
    is_copying: bool = False
    last_change: float = -math.inf
    deadline: float = math.inf
    round: "asyncio.Task[int] | None" = None
    told: set[tuple[str, str]] = field(default_factory=set)


class FolderSource:
    """Code versions of project folders; implements ``ports.CodeSource`` for all functions.

    ``on_version`` hears when functions get another version than they had, not of the first one.
    ``on_notice`` hears a line about links that leave a code folder, once for each.
    """

    def __init__(
        self,
        store: Store,
        *,
        wall_ns: Callable[[], int],
        on_version: Callable[[tuple[str, ...], CodeVersion], None],
        on_notice: Callable[[str], None],
    ) -> None:
        self._store = store
        self._wall_ns = wall_ns
        self._on_version = on_version
        self._on_notice = on_notice
        self._folders: dict[str, _Folder] = {}
        self._real_paths: dict[str, str] = {}
        self._twins: dict[str, list[_Folder]] = {}
        self._homes: dict[str, _Folder] = {}
        self._closing = asyncio.Event()

    def register(self, function_id: str, folder: Path, handler_files: tuple[str, ...]) -> None:
        """Say where a function's code is; again when that changes.

        ``handler_files`` are relative to ``folder``, the first that exists being the handler's.
        Without any, a call sees at once only what appears and goes at the top of the folder.
        """
        if function_id in self._homes:
            del self._homes[function_id].handlers[function_id]
        path = str(folder.absolute())
        if path not in self._folders:
            real = realpath(path)
            self._folders[path] = _Folder(path)
            self._real_paths.update({path: real, real: real})
            self._twins.setdefault(real, []).append(self._folders[path])
        home = self._folders[path]
        home.handlers[function_id] = HandlerFile(path, handler_files)
        self._homes[function_id] = home

    def counts(self, root: str, path: str) -> bool:
        """Say whether a change at ``path`` can change the version of the code folder ``root``."""
        if path == self._store.state or path.startswith(f"{self._store.state}/"):
            return False
        return counts(root, path)

    async def current(self, function: Function) -> CodeVersion:
        """Give the version that holds every save made before the call.

        For the handler's own file that is exact; other files' saves count once ``changed`` has
        told of them.

        Raises:
            CodeUnavailable: the folder is missing or cannot be read.
        """
        folder = self._homes.get(function.id)
        if folder is None:
            raise CodeUnavailable(f"no code folder is known for function {function.id}")
        handler = folder.handlers[function.id]
        return self._proven(folder, handler) or await self._renew(folder, handler)

    def acquire(self, version: CodeVersion) -> None:
        """Keep ``version`` on disk until it has been released as often."""
        self._store.acquire(version)

    def release(self, version: CodeVersion) -> None:
        """Give back one ``acquire``."""
        self._store.release(version)

    def changed(self, paths: Iterable[str]) -> None:
        """Take note of changes; the folders concerned get a new version once they are quiet."""
        marked: dict[str, _Folder] = {}
        for path in paths:
            root = path
            while root:
                real = self._real_paths.get(root)
                if real is not None and self.counts(root, path):
                    # A folder known by two names: the watcher tells of changes by one of them.
                    marked.update((folder.path, folder) for folder in self._twins[real])
                root = root.rpartition("/")[0]
        now = asyncio.get_running_loop().time()
        for folder in marked.values():
            self._mark(folder, now)
            folder.deadline = min(folder.deadline, now + BURST_S)
            # A folder that nobody has asked for yet is read when somebody does.
            if folder.version is not None and not self._closing.is_set():
                self._begin(folder)

    async def close(self) -> None:
        """End what is under way; calls that wait for it fail with CodeUnavailable."""
        self._closing.set()
        self._store.stop()
        rounds = [folder.round for folder in self._folders.values() if folder.round is not None]
        if rounds:
            await asyncio.wait(rounds)
        await self._store.close()

    def _proven(self, folder: _Folder, handler: HandlerFile) -> CodeVersion | None:
        """Give the folder's version if it is still current as far as one look can tell."""
        if folder.version is None or folder.failure is not None:
            return None
        if folder.changes != folder.covered:
            return None
        is_unchanged = handler.is_unchanged(folder.version.folder, self._wall_ns)
        return folder.version if is_unchanged else None

    def _mark(self, folder: _Folder, now: float) -> None:
        folder.changes += 1
        folder.last_change = now

    async def _renew(self, folder: _Folder, handler: HandlerFile) -> CodeVersion:
        """Wait for a version that holds what is there now."""
        begun_before = folder.copies_begun
        limit = asyncio.get_running_loop().time() + CALLER_QUIET_S
        while True:
            if self._closing.is_set():
                raise CodeUnavailable(f"fc-emu is stopping: {folder.path} is no longer read")
            # A copy under way may have come too late for what this call is about: look again then.
            task = folder.round if folder.is_copying else self._demand(folder, limit)
            assert task is not None, "only a round copies"
            await asyncio.wait([task])
            is_later = task.result() > begun_before
            if is_later and folder.failure is not None:
                raise folder.failure
            version = folder.version if is_later else self._proven(folder, handler)
            if version is not None:
                return version

    def _demand(self, folder: _Folder, limit: float) -> "asyncio.Task[int]":
        """Have a round whose copy is still to begin, for a call that waits until ``limit``."""
        if folder.changes == folder.covered:
            is_save = folder.version is not None and folder.failure is None
            now = asyncio.get_running_loop().time()
            self._mark(folder, now if is_save else folder.last_change)
        folder.deadline = min(folder.deadline, limit)
        return self._begin(folder)

    def _begin(self, folder: _Folder) -> "asyncio.Task[int]":
        if folder.round is None or folder.round.done():
            folder.round = asyncio.create_task(self._run_round(folder))
            folder.round.add_done_callback(lambda _: self._follow(folder))
        return folder.round

    def _follow(self, folder: _Folder) -> None:
        """Begin another round for what changed during the last copy."""
        if folder.changes != folder.covered and not self._closing.is_set():
            self._begin(folder)

    async def _run_round(self, folder: _Folder) -> int:
        """Wait for quiet, copy, make the version; return which copy it was."""
        await self._quiet(folder)
        covering = folder.changes
        folder.copies_begun += 1
        number = folder.copies_begun
        folder.is_copying = True
        folder.deadline = math.inf
        # Looked at before the copy: a save from here on shows as a change, at worst once too often.
        began_ns = self._wall_ns()
        looks = {function_id: file.look() for function_id, file in folder.handlers.items()}
        try:
            taken = await self._store.take(folder.path, before=folder.taken)
        except CodeUnavailable as failure:
            folder.failure = failure
        else:
            self._adopt(folder, taken, looks, began_ns)
        finally:
            folder.is_copying = False
            folder.covered = covering
        return number

    async def _quiet(self, folder: _Folder) -> None:
        loop = asyncio.get_running_loop()
        while (until := min(folder.last_change + QUIET_S, folder.deadline)) > loop.time():
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._closing.wait()
                return

    def _adopt(
        self, folder: _Folder, taken: Taken, looks: dict[str, Look | None], began_ns: int
    ) -> None:
        """Make a snapshot the folder's version, in one step with what it replaces."""
        before = folder.version
        folder.taken = self._store.adopt(taken, before=folder.taken)
        folder.failure = None
        folder.version = CodeVersion(
            id=taken.name.id,
            folder=folder.taken.folder,
            source=folder.path,
            checksum=taken.name.checksum,
            linked=tuple(target for _, target in taken.dependencies),
        )
        self._store.keep(folder.handlers, folder.version)
        for function_id, look in looks.items():
            if function_id in folder.handlers:
                folder.handlers[function_id].remember(look, moment_ns=began_ns)
        for link in taken.outside:
            if link not in folder.told:
                folder.told.add(link)
                self._on_notice(
                    f"{folder.path}/{link[0]} leads out of the code folder, to {link[1]}: "
                    "what is there is used live, and changes to it are not noticed"
                )
        if before is not None and before.id != folder.version.id:
            self._on_version(tuple(folder.handlers), folder.version)
