import asyncio
import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from emulator.codestore import FolderSource, Store
from emulator.codestore.exclusions import counts
from emulator.core.resources import Function
from emulator.engine.ports import CodeVersion
from emulator.watch import Listeners, Watcher

DEADLINE_S = 5
ROOT = Path(__file__).parents[2]


class Heard:
    """What a watcher told."""

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self.notices: list[str] = []
        self.errors: list[Exception] = []
        self.refusals = 0
        self._news = asyncio.Event()

    @property
    def listeners(self) -> Listeners:
        return Listeners(
            on_change=self._take, on_notice=self.notices.append, on_error=self._take_error
        )

    def _take(self, paths: set[str]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise ValueError("a listener's bug")
        self.paths |= paths
        self._news.set()

    def _take_error(self, error: Exception) -> None:
        self.errors.append(error)
        self._news.set()

    async def until(self, is_true: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not is_true():
                self._news.clear()
                await self._news.wait()

    async def path(self, path: Path) -> None:
        """Wait until a change at ``path`` has been told."""
        await self.until(lambda: str(path) in self.paths)


Watching = Callable[..., AsyncIterator[Heard]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "projects" / "code"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
async def watch():
    """Watch folders with what is told in ``Heard``; armed on return."""
    watchers = []

    async def begin(*roots: Path, heard: Heard | None = None, force_polling=False) -> Heard:
        heard = heard or Heard()
        watcher = Watcher(
            roots, counts=counts, listeners=heard.listeners, force_polling=force_polling
        )
        watchers.append(watcher)
        watcher.start()
        async with asyncio.timeout(DEADLINE_S):
            await watcher.ready()
        return heard

    yield begin
    for watcher in watchers:
        await watcher.close()


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("round_", range(10))
async def test_save_right_after_ready_is_told(watch, root, round_):
    heard = await watch(root)

    await heard.path(write(root / "index.py"))

    assert heard.errors == heard.notices == []


async def test_removed_file_is_told(watch, root):
    file = write(root / "index.py")
    heard = await watch(root)

    file.unlink()

    await heard.path(file)


@pytest.mark.parametrize("force_polling", [False, True])
async def test_what_does_not_count_is_not_told(watch, root, force_polling):
    for folder in (".git", "node_modules/a", "lib/__pycache__"):
        (root / folder).mkdir(parents=True)
    heard = await watch(root, force_polling=force_polling)

    for name in (".git/index", "node_modules/a/x.js", "lib/__pycache__/a.pyc", "index.py~"):
        write(root / name)
    (root / "node_modules" / "b").mkdir()
    await heard.path(write(root / "index.py"))

    assert heard.paths == {str(root / "index.py")}


@pytest.mark.parametrize("force_polling", [False, True])
async def test_files_in_a_new_folder_are_told(watch, root, force_polling):
    """Those made together with it, by its being told, and later ones each."""
    heard = await watch(root, force_polling=force_polling)

    write(root / "new" / "deep" / "first.py")
    await heard.path(root / "new")

    if not force_polling:
        await heard.path(root)
    await heard.path(write(root / "new" / "deep" / "second.py"))


async def test_folder_moved_away_and_another_in_its_place(watch, root):
    write(root / "lib" / "a.py")
    write(root / "other" / "b.py")
    heard = await watch(root)

    shutil.rmtree(root / "lib")
    (root / "other").rename(root / "lib")
    await heard.path(root)

    await heard.path(write(root / "lib" / "c.py"))


@pytest.mark.parametrize("force_polling", [False, True])
async def test_missing_root_is_told_when_it_appears(watch, tmp_path, force_polling):
    """Even when the folders above it are missing too."""
    missing = tmp_path / "not" / "yet" / "code"
    heard = await watch(missing, force_polling=force_polling)

    write(missing / "index.py")
    await heard.path(missing)

    await heard.path(write(missing / "more.py"))
    assert heard.errors == []


async def test_neighbours_of_a_missing_root_are_not_told(watch, tmp_path):
    missing = tmp_path / "code"
    heard = await watch(missing)

    write(tmp_path / "neighbour" / "x.py")
    write(missing / "index.py")
    await heard.path(missing)

    assert not any(path.startswith(str(tmp_path / "neighbour")) for path in heard.paths)


@pytest.mark.parametrize("force_polling", [False, True])
async def test_root_that_is_removed_and_restored(watch, root, force_polling):
    heard = await watch(root, force_polling=force_polling)
    root.rmdir()
    await heard.path(root)
    heard.paths.clear()

    root.mkdir()
    await heard.path(root)

    await heard.path(write(root / "index.py"))
    assert heard.errors == []


async def test_root_that_is_replaced(watch, root):
    """As a build does that makes the new folder beside the old one."""
    heard = await watch(root)
    write(root.with_name("next") / "index.py")

    root.rename(root.with_name("old"))
    root.with_name("next").rename(root)
    await heard.path(root)

    await heard.path(write(root / "more.py"))


async def test_root_whose_parent_is_replaced(watch, root):
    """The kernel says nothing of that: it is found by the check."""
    heard = await watch(root)
    write(root.parent.with_name("next") / "code" / "index.py")

    root.parent.rename(root.parent.with_name("old"))
    root.parent.with_name("next").rename(root.parent)
    await heard.path(root)

    await heard.path(write(root / "more.py"))


async def test_polling_tells_of_two_saves_within_a_second(watch, root):
    """Of the same size, and the second with the time set back."""
    file = write(root / "index.py", "1")
    heard = await watch(root, force_polling=True)
    before = file.stat()

    file.write_text("2")
    await heard.path(file)
    heard.paths.clear()
    file.write_text("3")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    await heard.path(file)


async def test_folder_whose_name_is_no_text_is_polled(watch, root):
    """watchfiles takes names in UTF-8 only."""
    folder = Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9"))
    folder.mkdir()
    heard = await watch(root)

    await heard.path(write(folder / "menu.py"))

    assert len(heard.notices) == 1
    assert heard.errors == []


async def test_error_is_told_and_the_watch_goes_on(watch, root):
    """With the root, since nobody knows what happened meanwhile."""
    heard = Heard()
    heard.refusals = 2
    await watch(root, heard=heard)

    write(root / "index.py")
    await heard.path(root)

    assert [str(error) for error in heard.errors] == ["a listener's bug"] * 2
    await heard.path(write(root / "more.py"))


@pytest.mark.parametrize("force_polling", [False, True])
async def test_closing_is_quick_and_leaves_no_thread(root, force_polling):
    heard = Heard()
    threads = set(threading.enumerate())
    watcher = Watcher([root], counts=counts, listeners=heard.listeners, force_polling=force_polling)
    watcher.start()
    await watcher.ready()

    began = time.monotonic()
    await watcher.close()
    await watcher.close()

    assert time.monotonic() - began < 0.2
    assert set(threading.enumerate()) == threads
    assert heard.errors == []


# With few watches to have: in a user namespace of its own, which has limits of its own.

FEW_WATCHES = textwrap.dedent(
    """
    import asyncio, json, pathlib, sys
    from emulator.codestore.exclusions import counts
    from emulator.watch import Listeners, Watcher

    async def main(root):
        heard, notices, errors = asyncio.Queue(), [], []
        watcher = Watcher([root], counts=counts, listeners=Listeners(
            on_change=heard.put_nowait, on_notice=notices.append, on_error=errors.append))
        watcher.start()
        paths = set()
        async with asyncio.timeout(5):
            await watcher.ready()
            for folder in sys.argv[2:]:
                (root / folder).mkdir()
            (root / "index.py").write_text("x")
            while not paths & {str(root / "index.py"), str(root)}:
                paths |= await heard.get()
            (root / "more.py").write_text("x")
            while str(root / "more.py") not in paths:
                paths |= await heard.get()
        await watcher.close()
        print(json.dumps({"notices": notices, "errors": [str(e) for e in errors]}))

    asyncio.run(main(pathlib.Path(sys.argv[1])))
    """
)


def run_with_few_watches(root: Path, *new_folders: str) -> dict[str, list[str]]:
    """Watch ``root`` where the kernel grants 8 watches; make folders; save two files."""
    limit = "echo 8 > /proc/sys/user/max_inotify_watches"
    probe = subprocess.run(["unshare", "-Ur", "sh", "-c", limit], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("no user namespace to set a limit in")
    command = ["unshare", "-Ur", "sh", "-c", f'{limit}; exec "$@"', "-", sys.executable]
    run = subprocess.run(
        [*command, "-c", FEW_WATCHES, str(root), *new_folders],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=15,
    )
    heard: dict[str, list[str]] = json.loads(run.stdout)
    return heard


def test_too_few_watches_lead_to_polling(root):
    for number in range(20):
        (root / f"folder{number}").mkdir()

    heard = run_with_few_watches(root)

    (notice,) = heard["notices"]
    assert notice.startswith("code folders are polled, which sees a save later: ")
    assert "limit" in notice
    assert heard["errors"] == []


def test_watches_that_run_out_later_lead_to_polling(root):
    heard = run_with_few_watches(root, *(f"folder{number}" for number in range(20)))

    assert len(heard["notices"]) == 1
    assert heard["errors"] == []


def test_dependency_folders_take_no_watches(root):
    for number in range(50):
        (root / "node_modules" / f"package{number}").mkdir(parents=True)

    heard = run_with_few_watches(root)

    assert heard["notices"] == heard["errors"] == []


# Together with the code source


async def test_save_leads_to_a_version_without_a_call(watch, root, tmp_path):
    told: asyncio.Queue[CodeVersion] = asyncio.Queue()
    store = Store(tmp_path / "state", wall_ns=time.time_ns)
    source = FolderSource(
        store,
        wall_ns=time.time_ns,
        on_version=lambda _, version: told.put_nowait(version),
        on_notice=pytest.fail,
    )
    source.register("f", root, ("index.py",))
    write(root / "index.py")
    write(root / "lib" / "util.py", "1")
    heard = Heard()
    watcher = Watcher(
        [root],
        counts=source.counts,
        listeners=Listeners(
            on_change=source.changed,
            on_notice=heard.notices.append,
            on_error=heard.errors.append,
        ),
    )
    watcher.start()
    async with asyncio.timeout(DEADLINE_S):
        await watcher.ready()
        function = Function(
            function_name="f",
            runtime="python3.10",
            handler="index.handler",
            timeout=3,
            memory_size=128,
        )
        await source.current(function)

        write(root / "lib" / "util.py", "2")
        version = await told.get()

    await watcher.close()
    await source.close()
    assert Path(version.folder, "lib", "util.py").read_text() == "2"
