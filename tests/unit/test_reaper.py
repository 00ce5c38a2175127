"""The helper process, on real processes: what it starts, and that nothing of it ever remains."""

import asyncio
import errno
import os
import select
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

import emulator
from emulator.drivers.helper import Child, Exit, Helper, SpawnError, end_tagged, find_tagged

DEADLINE_S = 5.0
"""Promise P5; also the bound of every other wait here. Normally these take milliseconds."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

PRELUDE = """
import os, signal, sys
def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
def rest():
    say(os.getpid())
    while True:
        signal.pause()
def daemon(env):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execve("/bin/sh", ["sh", "-c", "echo $$; exec sleep 1000"], env)
        os._exit(0)
def end_first_thread():
    import ctypes, threading
    threading.Thread(target=rest).start()
    ctypes.CDLL(None).pthread_exit(None)
"""

RUNNER = "say(os.getpid())\nn = 20_000\nwhile n and not os.fork(): n -= 1; os.setsid()"

FAMILIES = {
    "ignores SIGTERM": (1, "signal.signal(signal.SIGTERM, signal.SIG_IGN); rest()"),
    "child in its own session": (2, "os.fork() or os.setsid(); rest()"),
    "daemon with an empty environment": (2, "daemon({}); rest()"),
    "daemon of another name": (2, "daemon({'FC_EMU_INSTANCE': 'other'}); rest()"),
    "daemons of a child": (4, "os.fork() or daemon({}) or os.setsid() or daemon({}); rest()"),
    "stopped": (2, "os.fork() or (say(os.getpid()), os.kill(os.getpid(), 19)); rest()"),
    "first thread ended": (2, "os.fork() or os.setsid() or end_first_thread(); rest()"),
    "fork bomb": (64, "[os.fork() for _ in range(6)]; rest()"),
    "fork bomb in many sessions": (64, "[os.fork() or os.setsid() for _ in range(6)]; rest()"),
    "fork and exit, on and on": (1, RUNNER),
}

EMULATOR = """
import asyncio, os, signal, sys
from pathlib import Path
from emulator.drivers.helper import Helper
async def main(source, temp):
    helper = Helper()
    await helper.start()
    await helper.remove_at_end(Path(temp))
    print(helper.pid, flush=True)
    if os.fork() == 0:  # it holds our end of the socket, as a worker of the user's might
        print(os.getpid(), flush=True)
        signal.pause()
    await helper.spawn("a", [sys.executable, "-c", source], {"FC_EMU_INSTANCE": "a"}, "/", 1)
    await asyncio.Event().wait()
asyncio.run(main(*sys.argv[1:]))
"""


class Family:
    """A process under test with its descendants, and the pipe to which they print."""

    def __init__(self, helper: Helper, folder: Path) -> None:
        self.helper = helper
        self.folder = folder
        reading, self.output_fd = os.pipe()
        self._output = os.fdopen(reading, "rb")
        self.tag = str(uuid.uuid4())
        self.other_tag = f"{self.tag}2"

    async def spawn(self, id_: str, argv: list[str], **env: str) -> Child:
        return await self.helper.spawn(id_, argv, env, str(self.folder), self.output_fd)

    async def run(self, id_: str, source: str, **env: str) -> Child:
        argv = [sys.executable, "-I", "-S", "-c", PRELUDE + source]
        return await self.spawn(id_, argv, FC_EMU_INSTANCE=id_, **env)

    def popen(self, *argv: str, **env: str) -> subprocess.Popen[bytes]:
        argv = (sys.executable, "-c", *argv)
        return subprocess.Popen(argv, stdout=self.output_fd, env=env, start_new_session=True)

    async def lines(self, count: int) -> list[bytes]:
        async with asyncio.timeout(2 * DEADLINE_S):
            return [await asyncio.to_thread(self._output.readline) for _ in range(count)]

    async def pids(self, count: int) -> set[int]:
        return {int(line) for line in await self.lines(count)}

    async def text(self) -> str:
        """Return all that is printed, once nobody is left to print."""
        self.close_output()
        async with asyncio.timeout(2 * DEADLINE_S):
            return os.fsdecode(await asyncio.to_thread(self._output.read))

    def close_output(self) -> None:
        if self.output_fd >= 0:
            os.close(self.output_fd)
        self.output_fd = -1

    def close(self) -> None:
        self.close_output()
        self._output.close()


@pytest.fixture
async def helper():
    helper = Helper()
    await helper.start()
    yield helper
    await helper.close()


@pytest.fixture
def family(helper, tmp_path):
    family = Family(helper, tmp_path)
    yield family
    family.close()
    for tag in (family.tag, family.other_tag):  # for tests that fail half-way
        end_tagged(tag)


@pytest.fixture
def bystander(family):
    """Somebody else's process, much like those that are ended."""
    process = family.popen(PRELUDE + "signal.pause()", FC_EMU_TAG=family.other_tag)
    yield process
    process.kill()
    assert process.wait() == -signal.SIGKILL


def existing(pids: Iterable[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


def outliving(pids: Iterable[int]) -> set[int]:
    """Return those of the processes that do not end in time; a zombie has ended."""
    late = set()
    for pid in pids:
        with suppress(ProcessLookupError):
            pidfd = os.pidfd_open(pid)
            if not select.select([pidfd], [], [], DEADLINE_S)[0]:
                late.add(pid)
            os.close(pidfd)
    return late


@pytest.mark.parametrize(
    ("source", "code", "signum", "least_mb"),
    [
        ("", 0, None, 1),
        ("os._exit(7)", 7, None, 1),
        ("b'x' * (80 << 20)", 0, None, 80),
        ("os.kill(os.getpid(), signal.SIGKILL)", None, signal.SIGKILL, 1),
        ("os.kill(os.getpid(), signal.SIGSEGV)", None, signal.SIGSEGV, 1),
    ],
)
async def test_every_waiter_learns_how_a_process_ended(family, source, code, signum, least_mb):
    child = await family.run("a", source)

    async with asyncio.timeout(DEADLINE_S):
        ends = [*await asyncio.gather(child.wait(), child.wait()), await child.wait()]

    assert {(end.code, end.signal) for end in ends} == {(code, signum)}
    assert least_mb < ends[0].max_rss_kb / 1024 < least_mb + 50


@pytest.mark.parametrize(
    ("argv", "folder", "number"),
    [
        (["/nowhere/program"], ".", errno.ENOENT),
        (["no-such-program"], ".", errno.ENOENT),
        (["./plain"], ".", errno.EACCES),
        (["/bin/true"], "missing", errno.ENOENT),
        (["/bin/true", "a\0b"], ".", errno.EINVAL),
        ([], ".", errno.EINVAL),
    ],
)
async def test_an_impossible_start_names_program_and_folder(family, argv, folder, number):
    family.folder.joinpath("plain").touch()
    family.folder /= folder

    with pytest.raises(SpawnError) as raised:
        await family.spawn("a", argv, PATH="/usr/bin:/bin")

    assert raised.value.errno == number
    assert "".join(argv[:1]) in str(raised.value)
    assert str(family.folder) in str(raised.value)


async def test_the_environment_is_exactly_the_given_one(family):
    env = {"PATH": "/usr/bin:/bin", "ÄÖ": "ü", "RAW": os.fsdecode(b"\xff"), "NO": "", "L": "a\nb"}

    await family.spawn("a", ["cat", "/proc/self/environ"], **env)

    entries = (await family.text()).removesuffix("\0").split("\0")
    assert sorted(entries) == sorted(f"{name}={value}" for name, value in env.items())


async def test_a_process_starts_with_a_clean_state(family):
    inheritable = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(inheritable, True)
    # The shell reads its status itself: while it starts another program it blocks signals.
    show = "pwd -P; cat /proc/$$/stat /proc/$$/limits; ls -l /proc/$$/fd; "
    show += 'while read -r line; do echo "$line"; done < /proc/$$/status'

    child = await family.spawn("a", ["/bin/sh", "-c", show], PATH="/usr/bin:/bin")

    lines = (await family.text()).splitlines()
    os.close(inheritable)
    assert lines[0] == str(family.folder.resolve())
    assert lines[1].split()[4:6] == [str(child.pid)] * 2, "leads a group and a session"
    files = dict(line.split()[-3::2] for line in lines if " -> " in line)
    assert files == {"0": "/dev/null", "1": files["1"], "2": files["1"]}
    status = dict(line.split(":\t") for line in lines if ":\t" in line)
    unusual = int(status["SigIgn"], 16) | int(status["SigBlk"], 16)
    assert [signum for signum in signal.valid_signals() if unusual >> (signum - 1) & 1] == []
    assert [line.split()[4:6] for line in lines if "core file" in line] == [["0", "0"]]


@pytest.mark.parametrize(("count", "source"), FAMILIES.values(), ids=FAMILIES.keys())
async def test_end_leaves_nothing(family, count, source):
    child = await family.run("a", source, FC_EMU_TAG=family.tag)
    pids = await family.pids(count)

    async with asyncio.timeout(DEADLINE_S):
        await child.end()

    assert child.pid in pids
    assert existing([*pids, *find_tagged(family.tag)]) == set()
    await child.end()
    assert (await (await family.run("a", "")).wait()).code == 0, "the id is free again"


async def test_end_of_one_instance_spares_another(family):
    answer = "signal.signal(signal.SIGUSR1, lambda *_: say('alive')); daemon({}); rest()"
    spared = await family.run("b", answer)
    spared_pids = await family.pids(2)
    ended = await family.run("a", "daemon({}); rest()")
    ended_pids = await family.pids(2)
    with pytest.raises(SpawnError, match="there is an instance a"):
        await family.run("a", "")

    await ended.end()
    spared.signal(signal.SIGUSR1)

    assert (await ended.wait()).signal == signal.SIGKILL
    assert await family.lines(1) == [b"alive\n"]
    assert existing(spared_pids | ended_pids) == spared_pids


async def test_what_a_process_leaves_when_it_exits_ends_too(family):
    source = "os.fork() or rest(); daemon({}); signal.signal(10, lambda *_: os._exit(3)); rest()"
    child = await family.run("a", source)
    pids = await family.pids(3)

    os.kill(child.pid, signal.SIGUSR1)

    assert (await child.wait()).code == 3
    assert outliving(pids) == set()


async def test_fifty_at_once_with_large_environments(helper, tmp_path):
    families = [Family(helper, tmp_path) for _ in range(50)]
    env = {"PATH": "/usr/bin:/bin", **{f"NAME{n}": str(n) * 1000 for n in range(100)}}

    children = await asyncio.gather(
        *(family.spawn(f"i{n}", ["env"], N=str(n), **env) for n, family in enumerate(families))
    )
    texts = await asyncio.gather(*(family.text() for family in families))
    ends = await asyncio.gather(*(child.wait() for child in children))

    for family in families:
        family.close()
    assert {end.code for end in ends} == {0}
    for n, text in enumerate(texts):
        assert set(text.splitlines()) == {f"{k}={v}" for k, v in {"N": n, **env}.items()}


async def test_a_cancelled_start_leaves_nothing(family):
    starting = asyncio.ensure_future(family.run("a", "rest()", FC_EMU_TAG=family.tag))
    done, _ = await asyncio.wait([starting], timeout=0)

    starting.cancel()
    await asyncio.wait([starting])
    await (await family.run("b", "")).wait()

    assert not done
    assert outliving(find_tagged(family.tag)) == set()


async def test_close_ends_everything_and_removes_the_folders(family):
    precious = family.folder / "precious"
    precious.write_text("kept")
    temp = family.folder / "temp"
    temp.joinpath("deep", "er").mkdir(parents=True)
    temp.joinpath("deep", "link").symlink_to(precious)
    temp.joinpath("up").symlink_to(family.folder)
    temp.joinpath("deep").chmod(0)
    await family.helper.remove_at_end(temp)
    child = await family.run("a", "daemon({}); rest()")
    pids = await family.pids(2)

    async with asyncio.timeout(DEADLINE_S):
        await family.helper.close()

    assert existing([*pids, family.helper.pid]) == set()
    assert not temp.exists()
    assert precious.read_text() == "kept"
    assert await child.wait() == Exit(None, None, 0)


async def test_nothing_outlives_a_killed_emulator(family, bystander):
    temp = family.folder / "temp"
    temp.mkdir()
    source = PRELUDE + "daemon({}); os.fork() or os.setsid(); rest()"
    path = str(Path(emulator.__file__).parents[1])
    running = family.popen(EMULATOR, source, str(temp), PYTHONPATH=path, FC_EMU_TAG=family.tag)
    helper_pid, worker_pid = map(int, await family.lines(2))
    pids = await family.pids(3)

    running.kill()
    running.wait()
    late = outliving({helper_pid, *pids})
    os.kill(worker_pid, signal.SIGKILL)
    for adopted in (helper_pid, worker_pid):
        os.waitpid(adopted, 0)

    assert late == set()
    assert existing(pids) == set()
    assert not temp.exists()
    assert bystander.poll() is None


async def test_what_a_killed_helper_leaves_is_swept(family, bystander):
    child = await family.run("b", "daemon({}); os.fork() or os.setsid(); rest()")
    pids = await family.pids(3)

    os.kill(family.helper.pid, signal.SIGKILL)
    async with asyncio.timeout(DEADLINE_S):
        await family.helper.lost.wait()
        end = await child.wait()
        before = existing(pids)
        await family.helper.sweep()

    assert family.helper.dead
    assert end == Exit(None, None, 0)
    assert before == pids
    assert existing(pids) == set()
    assert bystander.poll() is None
    await child.end()
    with pytest.raises(SpawnError, match="the helper process is gone"):
        await family.run("c", "")


async def test_only_processes_with_the_tag_are_ended(family):
    for tag in (family.tag, family.other_tag):
        family.popen(PRELUDE + "os.fork() and os._exit(0); rest()", FC_EMU_TAG=tag).wait()
    pids = await family.pids(2)
    mine, others = find_tagged(family.tag), find_tagged(family.other_tag)

    left = end_tagged(family.tag)

    assert {*mine, *others} == pids
    assert left == []
    assert outliving(mine) == set()
    assert find_tagged(family.other_tag) == others
