import asyncio
import hashlib
import os
import shutil
import socket
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from emulator.codestore.exclusions import counts
from emulator.codestore.snapshot import ATTEMPTS, Source, Stopped, Taken, take
from emulator.codestore.store import Store
from emulator.engine.ports import CodeUnavailable, CodeVersion

LATER_NS = 1_000_000_000
"""Added to the clock, it makes every stamp old enough to be trusted."""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "project" / "code"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
async def store(tmp_path: Path):
    store = Store(tmp_path / "state", wall_ns=time.time_ns)
    yield store
    await store.close()


@pytest.fixture
def snapshot(tmp_path: Path) -> Callable[..., Taken]:
    """Take a snapshot of a folder; each has a draft of its own."""
    drafts = iter(range(100))

    def call(folder: Path, *, before: Taken | None = None, **changes) -> Taken:
        draft = tmp_path / f"draft-{next(drafts)}"
        return take(source_of(folder, **changes), draft, before=before)

    return call


def source_of(folder: Path, **changes) -> Source:
    source = Source(root=os.path.realpath(folder), state="/nowhere", wall_ns=time.time_ns)
    return replace(source, **changes)


def write(path: Path, text: str = "", *, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def make_link(path: Path, target: str) -> Path:
    path.symlink_to(target)
    return path


def paths_below(folder: Path | str) -> set[str]:
    return {str(path.relative_to(folder)) for path in Path(folder).rglob("*")}


def mode_of(path: Path | str) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


async def make(store: Store, folder: Path, *functions: str) -> CodeVersion:
    """Make a version of a folder and let functions have it."""
    taken = store.adopt(await store.take(str(folder), before=None), before=None)
    version = CodeVersion(taken.name.id, taken.folder, str(folder), taken.name.checksum)
    store.keep(functions, version)
    return version


# What is in a version


def test_version_is_a_copy(code, snapshot):
    original = write(code / "index.py", "x = 1\n")
    write(code / "lib" / "deep" / "data.bin", "d" * 3_000_000)
    (code / "empty").mkdir()

    taken = snapshot(code)

    copy = Path(taken.folder)
    assert paths_below(copy) == paths_below(code)
    assert (copy / "lib/deep/data.bin").read_bytes() == (code / "lib/deep/data.bin").read_bytes()
    assert (copy / "index.py").stat().st_ino != original.stat().st_ino, "editors write in place"
    assert (copy / "index.py").stat().st_mtime_ns == original.stat().st_mtime_ns


def test_modes_are_those_of_a_package(code, snapshot):
    """Whether a file may be run is kept, nothing else is: not even setuid, nor a tight umask."""
    write(code / "run.sh", mode=0o4700)
    write(code / "index.py", mode=0o600)
    (code / "lib").mkdir(mode=0o700)
    umask = os.umask(0o077)
    try:
        copy = Path(snapshot(code).folder)
    finally:
        os.umask(umask)

    modes = {name: oct(mode_of(copy / name)) for name in ("run.sh", "index.py", "lib", ".")}
    assert modes == {"run.sh": "0o755", "index.py": "0o644", "lib": "0o755", ".": "0o755"}


def test_what_no_package_holds_is_left_out(code, snapshot):
    for name in (".git/config", "lib/__pycache__/a.pyc", ".mypy_cache/x", ".DS_Store"):
        write(code / name)
    for name in (
        "submodule/.git",
        ".index.py.swp",
        "index.py~",
        ".#index.py",
        "lib/4913",
        "index.py___jb_tmp___",
    ):
        write(code / name)
    write(code / "lib" / "index.py")
    os.mkfifo(code / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(code / "socket"))

        taken = snapshot(code)

    assert paths_below(taken.folder) == {"lib", "lib/index.py", "submodule"}


def test_dependency_folders_are_linked(code, snapshot):
    linked = ["node_modules", "vendor", ".venv", ".s/python", "app/node_modules", "x/site-packages"]
    for name in linked:
        write(code / name / "package" / "file.js")
    write(code / "app" / "vendor" / "models.py")

    copy = Path(snapshot(code).folder)

    assert {name: str((copy / name).readlink()) for name in linked} == {
        name: str(code / name) for name in linked
    }
    assert not (copy / "app" / "vendor").is_symlink(), "deeper down it may be the user's own name"


def test_state_folder_inside_the_code_is_left_out(code, snapshot):
    write(code / "index.py")
    write(code / ".state" / "code" / "1234" / "index.py")

    taken = snapshot(code, state=str(code / ".state"))

    assert paths_below(taken.folder) == {"index.py"}


def test_links_inside_the_folder_lead_to_the_copy(code, snapshot):
    """As does one that is absolute, or that leaves the folder and comes back."""
    write(code / "lib" / "data.txt", "frozen")
    (code / "plain").symlink_to("lib/data.txt")
    (code / "absolute").symlink_to(code / "lib" / "data.txt")
    (code / "lib" / "back").symlink_to("../../code/lib/data.txt")
    (code / "dangling").symlink_to("nothing")

    taken = snapshot(code)
    write(code / "lib" / "data.txt", "changed")

    copy = Path(taken.folder)
    for name in ("plain", "absolute", "lib/back"):
        assert (copy / name).is_symlink()
        assert (copy / name).read_text() == "frozen", name
    assert str((copy / "plain").readlink()) == "lib/data.txt"
    assert str((copy / "dangling").readlink()) == "nothing"
    assert taken.outside == []


def test_link_that_leaves_the_folder_stays_live_and_is_named(code, snapshot):
    shared = write(code.parent / "shared" / "util.py", "1")
    (code / "shared").symlink_to("../shared")

    taken = snapshot(code)

    assert Path(taken.folder, "shared").readlink() == shared.parent
    assert taken.outside == [("shared", str(shared.parent))]


# How a version is named


def test_name_is_made_of_content_alone(code, snapshot, tmp_path):
    write(code / "index.py", "x = 1\n")
    write(code / "lib" / "a.py", "a")
    other = tmp_path / "elsewhere"
    shutil.copytree(code, other)
    os.utime(other / "index.py", (1, 1))
    (other / "index.py").chmod(0o600)

    first, second = snapshot(code), snapshot(other)

    assert first.name == second.name
    assert len(first.name.id) == 32
    assert int(first.name.checksum) == int(first.name.id[:16], 16)


CHANGES: dict[str, Callable[[Path], object]] = {
    "bytes": lambda code: write(code / "index.py", "x = 2\n"),
    "may be run": lambda code: (code / "index.py").chmod(0o755),
    "name": lambda code: (code / "index.py").rename(code / "main.py"),
    "empty folder": lambda code: (code / "more").mkdir(),
    "target of a link": lambda code: make_link(code / "new", "lib").rename(code / "link"),
    "link or file": lambda code: write(code / "file", "index.py").rename(code / "link"),
    "place": lambda code: (code / "lib" / "a.py").rename(code / "a.py"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_name_changes_with(code, snapshot, change):
    write(code / "index.py", "x = 1\n")
    write(code / "lib" / "a.py", "a")
    (code / "link").symlink_to("index.py")
    before = snapshot(code).name

    change(code)

    assert snapshot(code).name != before


# What is read again


def test_only_what_was_saved_is_copied_again(code, snapshot):
    """The rest shares its bytes with the version before, and never with the user's files."""
    write(code / "index.py", "x = 1\n")
    kept = write(code / "lib" / "kept.py", "k")
    before = snapshot(code, wall_ns=lambda: time.time_ns() + LATER_NS)
    write(code / "index.py", "x = 2\n")

    after = snapshot(code, before=before)

    def inode(taken: Taken, name: str) -> int:
        return Path(taken.folder, name).stat().st_ino

    assert inode(after, "lib/kept.py") == inode(before, "lib/kept.py") != kept.stat().st_ino
    assert Path(before.folder, "index.py").read_text() == "x = 1\n"
    assert Path(after.folder, "index.py").read_text() == "x = 2\n"
    assert after.name == snapshot(code).name, "the same as when all is read"


def test_fresh_stamp_is_not_trusted(code, snapshot):
    """A second save within a tick of the kernel's clock leaves the stamp as it was."""
    saved = write(code / "index.py", "x = 1\n")
    before = snapshot(code, wall_ns=lambda: saved.stat().st_ctime_ns)

    after = snapshot(code, before=before)
    write(code / "more.py", "")
    again = snapshot(code, before=before)

    assert after.folder == "", "nothing differs from the version before"
    ours, theirs = Path(before.folder, "index.py"), Path(again.folder, "index.py")
    assert ours.stat().st_ino != theirs.stat().st_ino


def test_copy_that_a_function_wrote_to_is_not_used_again(code, snapshot):
    write(code / "index.py", "x = 1\n")
    write(code / "data.txt", "good")
    before = snapshot(code, wall_ns=lambda: time.time_ns() + LATER_NS)
    write(Path(before.folder, "data.txt"), "evil")
    write(code / "index.py", "x = 2\n")

    after = snapshot(code, before=before)

    assert Path(after.folder, "data.txt").read_text() == "good"
    assert after.name == snapshot(code).name


# A folder that changes while it is copied


def test_copy_is_of_one_moment(code, snapshot):
    """Two files that belong together are saved while the first of them has been copied."""
    for name in ("a.py", "b.py"):
        write(code / name, "old")
    asked = iter(range(100))

    def save_during_the_first_copy() -> bool:
        if next(asked) == 1:
            for name in ("a.py", "b.py"):
                write(code / name, "new")
        return False

    taken = snapshot(code, stopped=save_during_the_first_copy)

    assert [Path(taken.folder, name).read_text() for name in ("a.py", "b.py")] == ["new", "new"]


def test_files_that_vanish_meanwhile_are_left_out(code, snapshot):
    write(code / "index.py", "x = 1\n")
    write(code / "build" / "output.js", "o")

    def clean() -> bool:
        shutil.rmtree(code / "build", ignore_errors=True)
        return False

    taken = snapshot(code, stopped=clean)

    assert paths_below(taken.folder) == {"index.py"}


def test_folder_that_never_rests_is_copied_all_the_same(code, snapshot):
    log = write(code / "growing.log")
    looks = []

    def grow() -> bool:
        with log.open("a") as file:
            file.write("line\n")
        return False

    def look() -> int:
        looks.append(1)
        return time.time_ns()

    taken = snapshot(code, stopped=grow, wall_ns=look)

    assert Path(taken.folder, "growing.log").read_text().count("line\n") == ATTEMPTS
    assert len(looks) == ATTEMPTS


def test_stopping_leaves_nothing(code, tmp_path):
    write(code / "index.py")

    with pytest.raises(Stopped):
        take(source_of(code, stopped=lambda: True), tmp_path / "draft", before=None)

    assert not (tmp_path / "draft").exists()


# The store


async def test_same_content_is_one_version(code, store, tmp_path):
    """Repeated, at the same time, and from another folder; the one that is there stays."""
    write(code / "index.py", "x = 1\n")
    other = tmp_path / "other"
    shutil.copytree(code, other)

    first = await make(store, code, "f")
    inode = Path(first.folder).stat().st_ino
    rest = await asyncio.gather(*(make(store, folder, "g") for folder in (code, other, code)))

    assert {version.folder for version in rest} == {first.folder}
    assert Path(first.folder).stat().st_ino == inode
    assert Path(first.folder).name == first.id


async def test_store_is_private(code, store, tmp_path):
    write(code / "index.py")
    await make(store, code, "f")

    assert oct(mode_of(tmp_path / "state" / "code")) == "0o700"


async def test_current_and_previous_version_of_a_function_stay(code, store, tmp_path):
    versions = []
    for text in ("1", "2", "3"):
        write(code / "index.py", text)
        versions.append(await make(store, code, "f"))

    await store.close()

    assert {path.name for path in (tmp_path / "state" / "code").iterdir()} == {
        versions[1].id,
        versions[2].id,
    }


async def test_version_in_use_stays_until_it_is_released_as_often(code, store):
    write(code / "index.py", "1")
    used = await make(store, code, "f")
    store.acquire(used)
    store.acquire(used)
    for text in ("2", "3"):
        write(code / "index.py", text)
        await make(store, code, "f")

    store.release(used)
    assert Path(used.folder, "index.py").read_text() == "1"

    store.release(used)
    assert not Path(used.folder).exists()


async def test_version_made_again_after_it_was_dropped(code, store):
    for text in ("1", "2", "3", "1"):
        write(code / "index.py", text)
        version = await make(store, code, "f")

    assert Path(version.folder, "index.py").read_text() == "1"


async def test_pruning_removes_what_earlier_runs_left(code, store, tmp_path):
    write(code / "index.py")
    version = await make(store, code, "f")
    root = tmp_path / "state" / "code"
    write(root / "0123456789abcdef0123456789abcdef" / "index.py")
    write(root / ".new-1234" / "index.py")
    write(root / ".old-1234" / "index.py")

    await store.prune()

    assert [path.name for path in root.iterdir()] == [version.id]


async def test_version_of_an_earlier_run_is_made_afresh(code, tmp_path):
    """A power cut or a function may have spoiled it since."""
    write(code / "index.py", "good")
    earlier = Store(tmp_path / "state", wall_ns=time.time_ns)
    version = await make(earlier, code, "f")
    write(Path(version.folder, "index.py"), "evil")
    later = Store(tmp_path / "state", wall_ns=time.time_ns)

    again = await make(later, code, "f")
    await later.close()

    assert again == version
    assert Path(again.folder, "index.py").read_text() == "good"


async def test_stopped_store_copies_nothing(code, store):
    write(code / "index.py")
    store.stop()

    with pytest.raises(CodeUnavailable, match="stopping"):
        await store.take(str(code), before=None)


# What counts as a change


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/p", True),
        ("/p/index.py", True),
        ("/p/lib/deep/a.py", True),
        ("/p/node_modules", True),
        ("/p/node_modules/x/index.js", False),
        ("/p/app/node_modules/x.js", False),
        ("/p/vendor/x.php", False),
        ("/p/app/vendor/x.py", True),
        ("/p/.s/python/x.py", False),
        ("/p/.s/other", True),
        ("/p/.git", False),
        ("/p/.git/index", False),
        ("/p/lib/__pycache__/a.pyc", False),
        ("/p/index.py~", False),
        ("/p/.index.py.swx", False),
        ("/p/4913", False),
        ("/project/index.py", False),
        ("/", False),
    ],
)
def test_change_counts(path, expected):
    assert counts("/p", path) is expected


def test_names_hold_for_the_ids_algorithm(code, snapshot):
    """Pinned: a checksum that users compare must not change with a release unnoticed."""
    write(code / "index.py", "x = 1\n")

    taken = snapshot(code)

    detail = hashlib.sha256(b"x = 1\n").digest()
    expected = hashlib.sha256(b"file 0 8 32\nindex.py" + detail).hexdigest()[:32]
    assert taken.name.id == expected
