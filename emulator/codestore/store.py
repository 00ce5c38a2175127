"""The folder of code versions, and which of them are still wanted.

All naming, ``<draft>`` to ``<id>`` and ``<id>`` to something to be removed, is done on the event
loop, and only copying and removing in threads: a version that is given out cannot go meanwhile.
"""

import asyncio
import os
import secrets
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from emulator.codestore.snapshot import Source, Stopped, Taken, take
from emulator.engine.ports import CodeUnavailable, CodeVersion


class Store:
    """Code versions under ``<state>/code``, each made by this process or by an earlier one."""

    def __init__(self, state: Path, *, wall_ns: Callable[[], int]) -> None:
        self._state = os.path.realpath(state)
        self._root = Path(self._state, "code")
        self._wall_ns = wall_ns
        self._stopped = threading.Event()
        self._drafts: set[str] = set()
        self._made: set[str] = set()
        self._used: Counter[str] = Counter()
        self._kept: dict[str, tuple[str, ...]] = {}
        self._removals: set[asyncio.Future[None]] = set()
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._root.chmod(0o700)

    @property
    def state(self) -> str:
        """The real path of the state folder; nothing below it is ever part of a version."""
        return self._state

    async def take(self, folder: str, *, before: Taken | None) -> Taken:
        """Copy ``folder`` in a thread; ``adopt`` makes a version of the result.

        Raises:
            CodeUnavailable: it is missing or cannot be read, or the copy cannot be written.
        """
        draft = self._root / f".new-{secrets.token_hex(8)}"
        self._drafts.add(draft.name)
        try:
            return await asyncio.to_thread(self._copy, folder, draft, before)
        except Stopped:
            raise CodeUnavailable(f"fc-emu is stopping: {folder} was not read") from None
        except OSError as error:
            raise CodeUnavailable(_explain(folder, error)) from error
        finally:
            self._drafts.discard(draft.name)

    def _copy(self, folder: str, draft: Path, before: Taken | None) -> Taken:
        source = Source(
            root=os.path.realpath(folder),
            state=self._state,
            wall_ns=self._wall_ns,
            stopped=self._stopped.is_set,
        )
        return take(source, draft, before=before)

    def adopt(self, taken: Taken, *, before: Taken | None) -> Taken:
        """Give a snapshot its final place and return it with that; in the same step as ``keep``.

        A version of the same content that this process made stays as it is. One that an earlier
        process left is replaced: nobody knows whether the machine or a function spoiled it.
        """
        if not taken.folder:
            assert before is not None, "only an earlier version leaves nothing to adopt"
            return replace(taken, folder=before.folder)
        final = self._root / taken.name.id
        if taken.name.id in self._made:
            self._remove(Path(taken.folder))
        else:
            if final.exists():
                self._remove(final)
            Path(taken.folder).rename(final)
            self._made.add(taken.name.id)
        return replace(taken, folder=str(final))

    def keep(self, function_ids: Iterable[str], version: CodeVersion) -> None:
        """Let ``version`` be the current one of these functions; their previous one stays too."""
        for function_id in function_ids:
            older = [kept for kept in self._kept.get(function_id, ()) if kept != version.id]
            self._kept[function_id] = (version.id, *older[:1])
        self._drop_unwanted(tuple(self._made))

    def acquire(self, version: CodeVersion) -> None:
        """Keep ``version`` until it has been released as often."""
        self._used[version.id] += 1

    def release(self, version: CodeVersion) -> None:
        """Give back one ``acquire``."""
        self._used[version.id] -= 1
        if self._used[version.id] <= 0:
            del self._used[version.id]
            self._drop_unwanted((version.id,))

    async def prune(self) -> None:
        """Remove what earlier processes left; return once it is gone.

        Best called when the functions have their first versions: those are not made twice.
        """
        for path in tuple(self._root.iterdir()):
            if path.name not in self._made and path.name not in self._drafts:
                self._remove(path)
        await self._removed()

    def stop(self) -> None:
        """Let copies that are under way fail."""
        self._stopped.set()

    async def close(self) -> None:
        """Wait for removals. Versions stay for the next start."""
        await self._removed()

    def _drop_unwanted(self, candidates: Iterable[str]) -> None:
        wanted = set(self._used).union(*self._kept.values())
        for version_id in candidates:
            if version_id in self._made and version_id not in wanted:
                self._made.discard(version_id)
                self._remove(self._root / version_id)

    def _remove(self, path: Path) -> None:
        """Take ``path`` out of sight now and remove it in a thread."""
        old = self._root / f".old-{secrets.token_hex(8)}"
        with suppress(FileNotFoundError):
            path.rename(old)
        removal = asyncio.get_running_loop().run_in_executor(None, shutil.rmtree, old, True)
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)

    async def _removed(self) -> None:
        while self._removals:
            await asyncio.wait(tuple(self._removals))


def _explain(folder: str, error: OSError) -> str:
    """Say what is wrong with a code folder and what to do."""
    match error:
        case FileNotFoundError() if not Path(folder).exists():
            return f"code folder {folder} does not exist: create it, or correct the path to it"
        case NotADirectoryError():
            return f"{folder} is not a folder: correct the path to the code"
        case PermissionError():
            return f"{error.filename} cannot be read: let the user who runs fc-emu read it"
        case _:
            return f"code folder {folder} could not be copied: {error}"
