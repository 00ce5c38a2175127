"""Our side of the helper process that starts function processes; ``reaper.py`` is the other."""

import asyncio
import errno
import json
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.drivers import reaper

CLOSE_DEADLINE_S = 4.0
"""After which we do the helper's work. Ours: promise P5 gives 5 s."""


class SpawnError(Exception):
    """A program could not be started; ``errno`` tells why, as in `OSError`."""

    def __init__(self, what: str, errno: int) -> None:
        super().__init__(what)
        self.errno = errno


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: by itself, by a signal, or (both None) unseen, its helper being gone.

    ``max_rss_kb`` is never below the size of the helper, about 12 000: the kernel counts from
    before the program is loaded.
    """

    code: int | None
    signal: int | None
    max_rss_kb: int


class Child:
    """A process that the helper started; leader of its own session and group."""

    def __init__(self, helper: "Helper", instance_id: str, pid: int) -> None:
        self.instance_id = instance_id
        self.pid = pid
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._helper = helper

    async def wait(self) -> Exit:
        """Return once the process itself has exited; any number of tasks may wait, also later."""
        return await asyncio.shield(self.exited)

    def signal(self, signum: int) -> None:
        """Send a signal to the process group; nothing happens if the process has exited."""
        self._helper.tell({"do": "signal", "id": self.instance_id, "signum": signum})

    async def end(self) -> None:
        """Kill the process and all that it started; return once nothing of it exists.

        Happens anyway when the process exits. Safe to call twice and to cancel.
        """
        if not self.ended.done():
            self._helper.tell({"do": "end", "id": self.instance_id})
        await asyncio.shield(self.ended)
        await self._helper.sweep()


class Helper:
    """One helper process. When it is lost it stays so: start another `Helper`.

    ``lost`` is set when the helper ends without being asked to. All its children then count as
    exited (`Exit` with neither code nor signal) though they still run: `sweep` ends them.
    """

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self._children: dict[str, Child] = {}
        self._spawning: dict[str, asyncio.Future[Child]] = {}
        self._folders: list[Path] = []
        self._unread = b""
        self._unsent: deque[tuple[bytes, int | None]] = deque()
        self._entries: set[bytes] = set()
        self._swept = False
        self._sweeping = asyncio.Lock()

    @property
    def dead(self) -> bool:
        """Whether the helper was lost."""
        return self.lost.is_set()

    async def start(self, python: str = sys.executable) -> None:
        """Start the helper; return when it is ready.

        Makes this process a child subreaper: should the helper be killed, what it started comes
        to us. Other orphans among our descendants do too, and stay zombies until we exit.

        Raises:
            OSError: the interpreter could not be started, or ended at once.
        """
        reaper.adopt_orphans()
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._sock, self._process = _launch(python)
        self.pid = self._process.pid
        self._loop.add_reader(self._sock, self._read)
        try:
            await self._ready
        except BaseException:
            await self.close()
            raise

    async def spawn(
        self, instance_id: str, argv: Sequence[str], env: dict[str, str], cwd: str, output_fd: int
    ) -> Child:
        """Start a program in ``cwd`` with exactly ``env``, and ``output_fd`` as its output.

        ``argv[0]`` without a slash is looked for in the ``PATH`` of ``env``. The descriptor stays
        the caller's, to be closed after the call. Cancelled, nothing of the program remains.

        Raises:
            SpawnError: no such program or folder, not executable, id in use, helper gone, ...
        """
        doing = f"cannot start {' '.join(argv[:1])!r} in {cwd}"
        if self._sock.fileno() < 0:
            raise SpawnError(f"{doing}: the helper process is gone", errno.EPIPE)
        if instance_id in self._children or instance_id in self._spawning:
            raise SpawnError(f"{doing}: there is an instance {instance_id}", errno.EEXIST)
        what = {"id": instance_id, "argv": list(argv), "env": env, "cwd": cwd}
        answer: asyncio.Future[Child] = self._loop.create_future()
        try:
            self.tell({"do": "spawn", **what}, output_fd)
            self._spawning[instance_id] = answer
            return await answer
        except OSError as error:
            raise SpawnError(f"{doing}: {error.strerror}", error.errno or errno.EINVAL) from error
        except asyncio.CancelledError:
            self.tell({"do": "end", "id": instance_id})
            raise

    async def remove_at_end(self, folder: Path) -> None:
        """Have this folder removed after the processes, when the emulator or `close` ends them."""
        self._folders.append(folder)
        self.tell({"do": "temp", "path": str(folder)})

    async def sweep(self) -> None:
        """After the helper was lost, end all that it left; nothing happens otherwise."""
        async with self._sweeping:
            if self._sock.fileno() < 0 and not self._swept:
                self._swept = await asyncio.to_thread(self._end_leftovers)

    async def close(self) -> None:
        """End the helper and everything it started; return when nothing is left of it."""
        self._give_up()
        await self.sweep()
        for folder in self._folders:  # normally gone
            await asyncio.to_thread(reaper.remove_tree, str(folder))

    def tell(self, message: dict[str, object], descriptor: int | None = None) -> None:
        """Send a line, with a duplicate of a descriptor. Nothing happens if the helper is gone."""
        if self._sock.fileno() >= 0:
            line = json.dumps(message).encode() + b"\n"
            self._unsent.append((line, None if descriptor is None else os.dup(descriptor)))
            self._write()

    def _write(self) -> None:
        while self._unsent:
            data, descriptor = self._unsent.popleft()
            try:
                if descriptor is None:
                    sent = self._sock.send(data)
                else:
                    sent = socket.send_fds(self._sock, [data], [descriptor])
                    os.close(descriptor)
            except OSError:  # the socket is full, or the helper gone, as _read() is about to learn
                self._unsent.appendleft((data, descriptor))
                self._loop.add_writer(self._sock, self._write)
                return
            if sent < len(data):
                self._unsent.appendleft((data[sent:], None))
        self._loop.remove_writer(self._sock)

    def _read(self) -> None:
        data = b""
        with suppress(ConnectionError):
            data = self._sock.recv(1 << 18)
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._hear(json.loads(line))
        if not data:
            self._process.kill()  # it should be dead, but may be out of order
            self.lost.set()
            self._give_up()

    def _hear(self, message: dict[str, Any]) -> None:
        match message:
            case {"ready": _}:
                _settle(self._ready, None)
            case {"id": id_, "pid": pid}:
                self._children[id_] = Child(self, id_, pid)
                _settle(self._spawning.pop(id_), self._children[id_])
            case {"id": id_, "error": what, "errno": number}:
                error = OSError(number, what.removeprefix(f"[Errno {number}] "))
                _settle(self._spawning.pop(id_), error)
            case {"id": id_, "exited": how}:
                _settle(self._children[id_].exited, Exit(**how))
            case {"id": id_, "ended": _} if id_ in self._children:
                _settle(self._children.pop(id_).ended, None)

    def _give_up(self) -> None:
        """Hang up, and tell everybody who waits that the helper is gone."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()
        while self._unsent:
            if (descriptor := self._unsent.pop()[1]) is not None:
                os.close(descriptor)
        ids = [*self._spawning, *self._children]
        self._entries.update(f"FC_EMU_INSTANCE={id_}".encode() for id_ in ids)
        gone = BrokenPipeError(errno.EPIPE, "the helper process is gone")
        _settle(self._ready, gone)
        for answer in self._spawning.values():
            _settle(answer, gone)
        for child in self._children.values():
            _settle(child.exited, Exit(None, None, 0))
            _settle(child.ended, None)
        self._spawning.clear()
        self._children.clear()

    def _end_leftovers(self) -> bool:
        """Wait for the helper's end, then end what it left; True if nothing remains. Blocks."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_DEADLINE_S)
        self._process.kill()
        if self._process.wait() == 0:
            return True
        marks = reaper.marks_of(self._process.pid)

        def owner_of(process: reaper.Process) -> str:
            for key in reaper.keys_of(process):
                if key in marks if isinstance(key, int) else key in self._entries:
                    return "lost"
            return ""

        return not reaper.end_all(os.getpid(), owner_of)  # the orphans are children of ours now


def _launch(python: str) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    null, number = subprocess.DEVNULL, theirs.fileno()
    argv = [python, "-I", "-S", str(Path(reaper.__file__).resolve()), str(number)]
    with theirs:
        try:
            return ours, subprocess.Popen(
                argv, stdin=null, stdout=null, cwd="/", pass_fds=[number], start_new_session=True
            )
        except OSError:
            ours.close()
            raise


def _settle(future: asyncio.Future[Any], result: object) -> None:
    """Give those who wait the result, or raise it if it is an exception; the first one counts."""
    if not future.done():
        future.set_exception(result) if isinstance(result, OSError) else future.set_result(result)


def _tagged_with(state_uuid: str) -> reaper.OwnerOf:
    entry = f"FC_EMU_TAG={state_uuid}".encode()

    def owner_of(process: reaper.Process) -> str:
        with suppress(FileNotFoundError):
            mine = Path(f"/proc/{process.pid}").stat().st_uid == os.getuid()
            if mine and entry in reaper.read_proc(process.pid, "environ").split(b"\0"):
                return "earlier run"
        return ""

    return owner_of


def find_tagged(state_uuid: str) -> list[int]:
    """Return this user's processes that carry the state's tag, and what descends from them."""
    return [process.pid for process in reaper.find_below(0, _tagged_with(state_uuid))]


def end_tagged(state_uuid: str) -> list[int]:
    """End what an earlier run left whose helper was killed as well; return what would not end.

    For the start, before there is a helper: it would end our own instances too. Blocks.
    """
    return [process.pid for process in reaper.end_all(0, _tagged_with(state_uuid))]
