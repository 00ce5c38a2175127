import asyncio
import mmap
import os
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

import pytest

from emulator.codestore import FolderSource, Store
from emulator.codestore.snapshot import Taken
from emulator.core.resources import Function
from emulator.engine.ports import CodeUnavailable, CodeVersion

T = TypeVar("T")

DEADLINE_S = 5
FILES = ("index.py", "index/__init__.py")


class ObservedStore(Store):
    """A store that counts its copies and can be made to wait before it returns one."""

    copies = 0
    gate: asyncio.Event | None = None
    waiting: asyncio.Event

    async def take(self, folder: str, *, before: Taken | None) -> Taken:
        self.copies += 1
        taken = await super().take(folder, before=before)
        if self.gate is not None:
            self.waiting.set()
            await self.gate.wait()
        return taken


class Desk:
    """A code source with one folder, and what it told."""

    def __init__(self, tmp_path: Path) -> None:
        self.code = tmp_path / "project" / "code"
        self.code.mkdir(parents=True)
        self.store = ObservedStore(tmp_path / "state", wall_ns=time.time_ns)
        self.store.waiting = asyncio.Event()
        self.told: asyncio.Queue[tuple[tuple[str, ...], CodeVersion]] = asyncio.Queue()
        self.notices: list[str] = []
        self.source = FolderSource(
            self.store,
            wall_ns=time.time_ns,
            on_version=lambda ids, version: self.told.put_nowait((ids, version)),
            on_notice=self.notices.append,
        )
        self.source.register("f", self.code, FILES)

    def write(self, name: str, text: str) -> Path:
        path = self.code / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def save(self, name: str, text: str) -> None:
        """Write a file and tell of it as the watcher would."""
        self.source.changed({str(self.write(name, text))})

    async def current(self, function: str = "f") -> CodeVersion:
        return await soon(self.source.current(function_called(function)))

    async def next_told(self) -> tuple[tuple[str, ...], CodeVersion]:
        return await soon(self.told.get())


@pytest.fixture
async def desk(tmp_path: Path):
    desk = Desk(tmp_path)
    yield desk
    await soon(desk.source.close())


def function_called(name: str) -> Function:
    return Function(
        function_name=name,
        runtime="python3.10",
        handler="index.handler",
        timeout=3,
        memory_size=128,
    )


async def soon(awaitable: Awaitable[T]) -> T:
    async with asyncio.timeout(DEADLINE_S):
        return await awaitable


def copy_of(version: CodeVersion, name: str = "index.py") -> str:
    return Path(version.folder, name).read_text()


# The handler's own file: save, call


def save_in_place(path: Path, text: str) -> None:
    path.write_text(text)


def save_by_replacing(path: Path, text: str) -> None:
    draft = path.with_name("draft~")
    draft.write_text(text)
    draft.replace(path)


def save_with_the_old_time(path: Path, text: str) -> None:
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("save", [save_in_place, save_by_replacing, save_with_the_old_time])
async def test_each_of_five_saves_is_in_the_next_call(desk, save):
    """Without a watcher, at the same size, as fast as it goes."""
    handler = desk.write("index.py", "x = 0\n")
    await desk.current()

    for number in range(1, 6):
        text = f"x = {number}\n"
        save(handler, text)
        assert copy_of(await desk.current()) == text


async def test_save_that_leaves_no_trace_in_the_stamp_is_seen(desk):
    """As within one tick of a kernel's clock. Here: through a page that is mapped already."""
    handler = desk.write("index.py", "x = 0\n")
    with handler.open("r+b") as file, mmap.mmap(file.fileno(), 0) as page:
        page[4:5] = b"1"
        before = handler.stat()
        first = await desk.current()
        page[4:5] = b"2"
        assert handler.stat().st_ctime_ns == before.st_ctime_ns, "the trap itself does not work"

        second = await desk.current()

    assert copy_of(first) == "x = 1\n"
    assert copy_of(second) == "x = 2\n"


async def test_unchanged_folder_is_copied_once(desk):
    desk.write("index.py", "x = 0\n")

    versions = [await desk.current() for _ in range(50)]

    assert len(set(versions)) == 1
    assert desk.store.copies == 1
    assert versions[0].source == str(desk.code)


async def test_handler_may_move_to_another_of_its_files_and_back(desk):
    handler = desk.write("index.py", "module")
    assert copy_of(await desk.current()) == "module"

    handler.unlink()
    assert not Path((await desk.current()).folder, "index.py").exists()

    desk.write("index/__init__.py", "package")
    assert copy_of(await desk.current(), "index/__init__.py") == "package"

    desk.write("index.py", "module")
    assert copy_of(await desk.current()) == "module"


async def test_large_handler_is_served_as_it_is(desk):
    """Too large to be compared on the loop: it is copied again as long as its stamp is fresh."""
    desk.write("index.py", "#" * 2_000_000)
    await desk.current()
    desk.write("index.py", "%" * 2_000_000)

    assert copy_of(await desk.current()).count("%") == 2_000_000


async def test_function_without_a_file_of_its_own(desk):
    desk.source.register("any", desk.code, ())
    desk.write("main.sh", "1")
    await desk.current("any")

    desk.write("more.sh", "2")

    assert copy_of(await desk.current("any"), "more.sh") == "2"


# What the watcher tells


async def test_change_makes_a_version_without_a_call(desk):
    desk.source.register("g", desk.code, ("other.py",))
    desk.write("index.py", "x")
    desk.write("lib/util.py", "1")
    await desk.current()

    desk.save("lib/util.py", "2")
    functions, version = await desk.next_told()

    assert functions == ("f", "g")
    assert copy_of(version, "lib/util.py") == "2"
    assert await desk.current() == version


async def test_call_after_a_change_waits_for_it(desk):
    desk.write("index.py", "x")
    desk.write("util.py", "1")
    await desk.current()

    desk.save("util.py", "2")

    assert copy_of(await desk.current(), "util.py") == "2"


async def test_first_version_is_no_change(desk):
    desk.write("index.py", "x")

    await desk.current()

    assert desk.told.empty()


async def test_same_content_is_no_change(desk):
    """Saved again without an edit."""
    desk.write("index.py", "x")
    version = await desk.current()

    desk.save("index.py", "x")

    assert await desk.current() == version
    assert desk.told.empty()


async def test_change_that_no_version_holds_makes_no_copy(desk):
    desk.write("index.py", "x")
    await desk.current()

    desk.save(".git/index", "new")
    desk.save("node_modules/a/index.js", "new")
    desk.save("index.py~", "new")
    await desk.current()

    assert desk.store.copies == 1


async def test_folder_that_nobody_called_is_not_copied(desk):
    desk.save("index.py", "x")
    await soon(asyncio.to_thread(lambda: None))

    assert desk.store.copies == 0
    assert copy_of(await desk.current()) == "x"


async def test_burst_is_one_version(desk):
    desk.write("index.py", "x")
    await desk.current()

    for number in range(30):
        desk.save(f"part{number}.py", "new")
    _, version = await desk.next_told()

    assert len(list(Path(version.folder).iterdir())) == 31
    assert desk.store.copies == 2


async def test_burst_without_end_is_cut(desk):
    """A call waits 300 ms for quiet, and without one a version is made after 500 ms."""
    desk.write("index.py", "x")
    await desk.current()
    loop = asyncio.get_running_loop()

    async def keep_saving() -> None:
        for number in range(1000):
            desk.save("util.py", str(number))
            await asyncio.sleep(0.005)

    began = loop.time()
    saving = asyncio.create_task(keep_saving())
    await desk.next_told()
    told_s = loop.time() - began
    called = loop.time()
    await desk.current()
    called_s = loop.time() - called
    saving.cancel()

    assert 0.4 < told_s < 1.0
    assert called_s < 0.5


async def test_change_during_a_copy_leads_to_another(desk):
    desk.write("index.py", "x")
    desk.write("util.py", "1")
    await desk.current()
    desk.store.gate = asyncio.Event()
    desk.save("util.py", "2")
    await soon(desk.store.waiting.wait())

    desk.save("util.py", "3")
    call = asyncio.create_task(desk.current())
    desk.store.gate.set()

    assert copy_of(await soon(call), "util.py") == "3"


async def test_call_that_comes_during_a_copy_gets_what_it_saved(desk):
    desk.write("index.py", "1")
    await desk.current()
    desk.store.gate = asyncio.Event()
    desk.save("index.py", "2")
    await soon(desk.store.waiting.wait())

    desk.write("index.py", "3")
    call = asyncio.create_task(desk.current())
    desk.store.gate.set()

    assert copy_of(await soon(call)) == "3"


# Sharing


async def test_calls_and_functions_share_one_copy(desk):
    desk.source.register("g", desk.code, ("other.py",))
    desk.write("index.py", "x")

    versions = await asyncio.gather(*(desk.current(name) for name in "fgfgfg"))

    assert len(set(versions)) == 1
    assert desk.store.copies == 1


async def test_cancelled_call_leaves_the_others_their_version(desk):
    desk.write("index.py", "x")
    first = asyncio.create_task(desk.current())
    second = asyncio.create_task(desk.current())
    await asyncio.sleep(0)

    first.cancel()

    assert copy_of(await soon(second)) == "x"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_folder_with_two_names_changes_under_both(desk, tmp_path):
    (tmp_path / "alias").symlink_to(desk.code)
    desk.source.register("g", tmp_path / "alias", FILES)
    desk.write("index.py", "x")
    await desk.current("f")
    await desk.current("g")

    desk.save("util.py", "new")
    told = [await desk.next_told(), await desk.next_told()]

    assert sorted(functions for functions, _ in told) == [("f",), ("g",)]


async def test_function_moves_to_another_folder(desk, tmp_path):
    desk.write("index.py", "old place")
    await desk.current()
    desk.source.register("f", tmp_path / "new", FILES)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "index.py").write_text("new place")

    assert copy_of(await desk.current()) == "new place"


# What is kept


async def test_version_in_use_outlives_later_ones(desk):
    desk.write("index.py", "0")
    used = await desk.current()
    desk.source.acquire(used)
    for number in (1, 2, 3):
        desk.write("index.py", str(number))
        await desk.current()

    assert copy_of(used) == "0"
    desk.source.release(used)
    assert not Path(used.folder).exists()


# No code


async def test_missing_folder_says_so_and_recovers(desk):
    """Removed and restored, as by switching branches."""
    desk.write("index.py", "x")
    version = await desk.current()
    desk.code.rename(desk.code.with_name("away"))

    for _ in range(2):
        with pytest.raises(CodeUnavailable, match=f"{desk.code} does not exist: create it, or"):
            await desk.current()

    desk.code.with_name("away").rename(desk.code)
    assert await desk.current() == version


async def test_folder_that_was_never_there_recovers(desk, tmp_path):
    desk.source.register("g", tmp_path / "later", FILES)

    with pytest.raises(CodeUnavailable):
        await desk.current("g")

    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "index.py").write_text("x")
    assert copy_of(await desk.current("g")) == "x"


async def test_file_in_place_of_a_folder_says_so(desk, tmp_path):
    desk.source.register("g", desk.write("index.py", "x"), FILES)

    with pytest.raises(CodeUnavailable, match=r"index\.py is not a folder"):
        await desk.current("g")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_unreadable_file_is_named(desk):
    secret = desk.write("lib/secret.py", "x")
    secret.chmod(0)

    with pytest.raises(CodeUnavailable, match=f"{secret} cannot be read: let the user"):
        await desk.current()

    secret.chmod(0o600)
    assert copy_of(await desk.current(), "lib/secret.py") == "x"


async def test_unknown_function_has_no_code(desk):
    with pytest.raises(CodeUnavailable, match="no code folder is known for function nobody"):
        await desk.current("nobody")


async def test_closing_ends_calls_that_wait(desk):
    desk.write("index.py", "x")
    await desk.current()
    desk.save("index.py", "y")
    call = asyncio.create_task(desk.current())
    await asyncio.sleep(0)

    await soon(desk.source.close())

    with pytest.raises(CodeUnavailable, match="stopping"):
        await soon(call)


# Notices


async def test_link_out_of_the_folder_is_told_once(desk, tmp_path):
    (tmp_path / "shared").mkdir()
    desk.write("index.py", "1")
    (desk.code / "shared").symlink_to(tmp_path / "shared")
    await desk.current()
    desk.write("index.py", "2")
    await desk.current()

    assert desk.notices == [
        f"{desk.code}/shared leads out of the code folder, to {tmp_path}/shared: "
        "what is there is used live, and changes to it are not noticed"
    ]


async def test_state_folder_does_not_count(desk, tmp_path):
    """Or each version that is made would be a change."""
    assert not desk.source.counts(str(tmp_path), str(tmp_path / "state" / "code" / "x"))
    assert desk.source.counts(str(tmp_path), str(tmp_path / "statement.py"))
