"""The helper process, on real processes: what it starts, and that nothing of it ever remains."""

import asyncio
import errno
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import emulator
from emulator.drivers.helper import Exit, Helper, SpawnError, end_tagged, find_tagged

DEADLINE_S = 5.0
"""Promise P5; also the bound of every other wait here, which normally take milliseconds."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

PRELUDE = """
import os, signal, sys, time
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
            say(os.getpid())
            os.execve("/bin/sleep", ["sleep", "1000"], env)
        os._exit(0)
"""

FAMILIES = {
    "ignores SIGTERM": "signal.signal(signal.SIGTERM, signal.SIG_IGN); rest()",
    "child in its own session": "os.fork() or os.setsid(); rest()",
    "daemon with an empty environment": "daemon({}); rest()",
    "daemons of a daemon": "os.fork() or (os.setsid(), daemon({}), daemon({})); rest()",
    "stopped": "os.fork() or (say(os.getpid()), os.kill(os.getpid(), signal.SIGSTOP)); rest()",
    "child under another name": "daemon({'FC_EMU_INSTANCE': 'other'}); rest()",
    "sixty-four of a fork bomb": "[os.fork() for _ in range(6)]; rest()",
    "bomb in many sessions": "[os.fork() or os.setsid() for _ in range(6)]; rest()",
}


class Family:
    """A spawned script, and what it and its descendants print."""

    def __init__(self, helper, folder):
        self.helper = helper
        self.folder = folder
        reading, self.output_fd = os.pipe()
        self.output = os.fdopen(reading, "rb")

    async def spawn(self, instance_id, argv, **env):
        return await self.helper.spawn(instance_id, argv, env, str(self.folder), self.output_fd)

    async def run(self, instance_id, source, **env):
        script = self.folder / f"{instance_id}.py"
        script.write_text(PRELUDE + source)
        argv = [sys.executable, "-I", "-S", str(script)]
        return await self.spawn(instance_id, argv, FC_EMU_INSTANCE=instance_id, **env)

    async def lines(self, count):
        async with asyncio.timeout(2 * DEADLINE_S):
            return [(await asyncio.to_thread(self.output.readline)).split() for _ in range(count)]

    async def pids(self, count):
        return [int(words[0]) for words in await self.lines(count)]

    async def text(self):
        """Everything printed; for when all writers are gone or going."""
        os.close(self.output_fd)
        self.output_fd = -1
        async with asyncio.timeout(2 * DEADLINE_S):
            return await asyncio.to_thread(self.output.read)

    def close(self):
        self.output.close()
        if self.output_fd >= 0:
            os.close(self.output_fd)


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


def existing(pids):
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def wait_until_dead(pids, timeout_s=DEADLINE_S):
    """Return those of the processes that outlive the time; a zombie counts as dead."""
    late = []
    for pid in existing(pids):
        pidfd = os.pidfd_open(pid)
        if not select.select([pidfd], [], [], timeout_s)[0]:
            late.append(pid)
        os.close(pidfd)
    return late


@pytest.mark.parametrize(
    ("source", "code", "signum"),
    [
        ("", 0, None),
        ("os._exit(7)", 7, None),
        ("os.kill(os.getpid(), signal.SIGKILL)", None, signal.SIGKILL),
        ("os.kill(os.getpid(), signal.SIGSEGV)", None, signal.SIGSEGV),
    ],
)
async def test_every_waiter_learns_how_a_process_ended(family, source, code, signum):
    child = await family.run("a", source)

    async with asyncio.timeout(DEADLINE_S):
        ends = [*await asyncio.gather(child.wait(), child.wait()), await child.wait()]

    assert {(end.code, end.signal) for end in ends} == {(code, signum)}


async def test_most_memory_of_a_process_is_reported(family):
    child = await family.run("a", "bytearray(80 << 20)")

    async with asyncio.timeout(DEADLINE_S):
        end = await child.wait()

    assert 80 << 10 < end.max_rss_kb < 160 << 10


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
    (family.folder / "plain").write_text("not a program")
    family.folder /= folder

    with pytest.raises(SpawnError) as raised:
        await family.spawn("a", argv, PATH="/usr/bin:/bin")

    assert raised.value.errno == number
    assert "".join(argv[:1]) in str(raised.value)
    assert str(family.folder) in str(raised.value)


async def test_an_instance_id_serves_one_process_at_a_time(family):
    child = await family.run("a", "rest()")

    with pytest.raises(SpawnError) as raised:
        await family.run("a", "rest()")
    await child.end()
    again = await family.run("a", "rest()")

    assert raised.value.errno == errno.EEXIST
    assert again.pid != child.pid


async def test_the_environment_is_exactly_the_given_one(family):
    env = {"PATH": "/usr/bin:/bin", "ÄÖ": "ü", "RAW": os.fsdecode(b"\xff"), "EMPTY": "", "L": "a\nb"}

    child = await family.spawn("a", ["cat", "/proc/self/environ"], **env)
    await child.wait()

    entries = {os.fsencode(f"{name}={value}") for name, value in env.items()}
    assert set((await family.text()).rstrip(b"\0").split(b"\0")) == entries


async def test_a_process_starts_with_a_clean_state(family):
    inheritable = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(inheritable, True)
    family.folder.joinpath("own").write_text("")
    show = "cat /proc/$$/stat /proc/$$/status /proc/$$/limits; cd /proc/$$/fd; ls -l; pwd -P >&2"

    child = await family.spawn("a", ["/bin/sh", "-c", show], PATH="/usr/bin:/bin")
    await child.wait()
    os.close(inheritable)

    text = (await family.text()).decode()
    links = dict(line.split()[-3::2] for line in text.splitlines() if " -> " in line)
    assert links.keys() == {"0", "1", "2"}
    assert links["0"] == "/dev/null"
    assert links["1"] == links["2"]
    assert text.split(") ")[1].split()[2:4] == [str(child.pid)] * 2, "leads its group and session"
    status = dict(line.split(":\t") for line in text.splitlines() if ":\t" in line)
    assert int(status["SigIgn"], 16) == 0
    assert int(status["SigBlk"], 16) == 0
    assert [line.split()[4:6] for line in text.splitlines() if "core file" in line] == [["0", "0"]]


@pytest.mark.parametrize("source", FAMILIES.values(), ids=FAMILIES.keys())
async def test_end_leaves_nothing(family, source):
    count = {"sixty-four": 64}.get(source, 0) or (64 if "range(6)" in source else 2)
    count = 1 if "SIGTERM" in source else 4 if "daemon({}), " in source else count
    child = await family.run("a", source)
    pids = await family.pids(count)

    async with asyncio.timeout(DEADLINE_S):
        await child.end()

    assert child.pid in pids
    assert existing(pids) == []
    assert (await child.wait()).signal == signal.SIGKILL
    await child.end()
