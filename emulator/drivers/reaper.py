"""Start function processes, and end all that is left of them when the emulator is gone.

A program of its own: ``reaper.py <descriptor of a socket>``, started by ``helper.py``. End of file
or the end of its parent means that the emulator is gone, ``kill -9`` included: then it ends all
its descendants, removes the folders it was told of, and exits. On Linux it is the child subreaper
of all it starts, so whatever a function does (setsid, double fork, an emptied environment) stays
below it. macOS has neither that nor /proc: only process groups are ended; never run there.

In come lines of JSON, *do* with what `Reaper.spawn`, `signal`, `end` and `temp` take; a spawn with
a descriptor. Out go ``{"ready"}``, ``{"id", "pid"}`` or ``{"id", "error", "errno"}``,
``{"id", "exited": {"code", "signal", "max_rss_kb"}}``, ``{"id", "ended"}``.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator

ROUND_MS = 10
ROUNDS = 300
"""So long between looks whether killed processes are gone; what stays for 3 s hangs for good."""

# ---- What differs between Linux and macOS: LINUX, and these three functions ---------------------

LINUX = sys.platform == "linux"


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent ends; off Linux nothing happens."""
    if LINUX:
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def marks_of(pid: int) -> range:
    """Return the marks that the helper ``pid``, a child of this process or itself, may give.

    A mark is the value of a resource limit, which all that an instance starts inherits, whatever
    else it sheds: the CPU time of real-time threads in microseconds, here over 100 000 years.
    """
    limit = resource.getrlimit(resource.RLIMIT_RTTIME)[1] if LINUX else 0
    first = (2**62 if limit == resource.RLIM_INFINITY else limit) - ((pid + 1) << 32)
    return range(first, first + 2**32) if first > 0 else range(0)


def open_pidfd(pid: int) -> int:
    """Return a descriptor that stands for the process; -1 if there is none (Linux before 5.3)."""
    if LINUX:
        with contextlib.suppress(OSError):
            return os.pidfd_open(pid)
    return -1


class Process:
    """A process as /proc showed it; ``pid`` and ``start`` together name it for good."""

    def __init__(self, pid: int, stat: bytes) -> None:
        fields = stat[stat.rindex(b")") + 2 :].split()
        self.pid, self.owner, self.start = pid, "", int(fields[19])
        self.parent, self.group, self.session = map(int, fields[1:4])
        # A zombie with other threads is a live process whose first thread has ended.
        self.gone = fields[0] in b"ZX" and int(fields[17]) <= 1


OwnerOf = Callable[[Process], str]


def read_proc(pid: int, name: str) -> bytes:
    """Return the content of /proc/PID/name; empty if the process is gone or another user's."""
    gone = contextlib.suppress(FileNotFoundError, PermissionError, ProcessLookupError)
    with gone, open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
        return file.read()
    return b""


def keys_of(process: Process) -> Iterator[int | bytes]:
    """Yield all that can tell whose process this is, cheapest first."""
    yield from (process.pid, process.session, process.group)
    with contextlib.suppress(OSError):
        yield resource.prlimit(process.pid, resource.RLIMIT_RTTIME)[1]
    yield from read_proc(process.pid, "environ").split(b"\0")


def find_below(root: int, owner_of: OwnerOf) -> list[Process]:
    """Return the descendants of ``root`` that have an owner or descend from one that has.

    Of the zombies, only those that this process has to reap. A root of 0 stands for everything.
    """
    # Newest first: these are the likeliest to be gone soon.
    pids = [int(name) for name in reversed(os.listdir("/proc")) if name.isdigit()] if LINUX else []
    table = {pid: Process(pid, stat) for pid in pids if (stat := read_proc(pid, "stat"))}
    children: dict[int, list[Process]] = {}
    for pid, process in table.items():
        # A parent not seen is hidden, or ended meanwhile: then there is another by now.
        if process.parent not in table and (stat := read_proc(pid, "stat")):
            process.parent = Process(pid, stat).parent
        children.setdefault(process.parent, []).append(process)
    me, found = os.getpid(), []
    line = [(pid, 0, "") for pid in ([root] if root else children.keys() - table.keys())]
    for parent, start, owner in line:  # grows on the way
        for child in children.get(parent, ()):
            if child.start >= start:  # else the parent's pid has just gone to a newer process
                child.owner = owner or owner_of(child)
                line.append((child.pid, child.start, child.owner))
                if child.owner and child.pid != me and (not child.gone or child.parent == me):
                    found.append(child)
    return found


def signal_process(process: Process, signum: int) -> bool:
    """Signal this process, never a later owner of its pid; False if that is not permitted."""
    pidfd = open_pidfd(process.pid)
    try:
        stat = read_proc(process.pid, "stat")
        if stat and Process(process.pid, stat).start == process.start:
            if pidfd < 0:
                os.kill(process.pid, signum)
            else:
                signal.pidfd_send_signal(pidfd, signum)
    except OSError as error:
        return not isinstance(error, PermissionError)
    finally:
        if pidfd >= 0:
            os.close(pidfd)
    return True


def end_all(root: int, owner_of: OwnerOf = lambda _: "*", *, rounds: int = ROUNDS) -> list[Process]:
    """End the descendants of ``root``: all, or those with an owner. Return what is still there.

    A round stops them until no new ones appear (a fork bomb), then kills them. Those that may not
    be signalled are left alone and not returned. Reaps, from the second round on, own children.
    """
    left: list[Process] = []
    for _ in range(rounds):
        select.select((), (), (), ROUND_MS / 1000 if left else 0)
        for process in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process.pid, os.WNOHANG)
        stopped = set()
        for _ in range(ROUNDS):
            left = find_below(root, owner_of)
            fresh = [p for p in left if not p.gone and (p.pid, p.start) not in stopped]
            if not fresh:
                break
            for process in fresh:
                signal_process(process, signal.SIGSTOP)
                stopped.add((process.pid, process.start))
        left = [p for p in left if p.gone or signal_process(p, signal.SIGKILL)]
        if not left:
            break
    return left


def remove_tree(path: str) -> None:
    """Remove a folder and all in it as far as permitted; links are removed, never followed."""
    with contextlib.suppress(OSError, RecursionError):
        if os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, 0o700)
            for name in os.listdir(path):
                remove_tree(f"{path}/{name}")
            os.rmdir(path)
        else:
            os.unlink(path)


class Reaper:
    """The program: knows each instance from *spawn* until nothing is left of it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._unread = sock, b""
        self._outputs: list[int] = []
        self._folders: list[str] = []
        self._marks = reversed(marks_of(os.getpid()))
        self._keys: dict[str, set[int | bytes]] = {}
        self._running: dict[str, int] = {}
        self._ending: set[str] = set()

    def serve(self) -> None:
        """Do what the emulator says until it is gone, then clean up."""
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        emulator, talk = open_pidfd(os.getppid()), self._sock.fileno()
        poller = select.poll()
        for descriptor in {woken, emulator, talk} - {-1}:
            poller.register(descriptor, select.POLLIN)
        try:
            self._send(ready=True)
            while emulator not in (ready := dict(poller.poll(ROUND_MS if self._ending else None))):
                if talk in ready and not self._receive():
                    break
                if woken in ready:
                    os.read(woken, 4096)
                with contextlib.suppress(ChildProcessError):
                    self._reap()
                if self._ending and (woken in ready or not ready):
                    self._end_some()
        except ConnectionError:
            pass
        finally:
            for id in self._running:
                self.signal(id, signal.SIGKILL)
            end_all(os.getpid())
            for folder in self._folders:
                remove_tree(folder)

    def spawn(self, id: str, argv: list[str], env: dict[str, str], cwd: str) -> None:
        """Start a program in a session of its own; the next descriptor is for its output."""
        output, mark = self._outputs.pop(0), next(self._marks, 0)
        copies = [(os.POSIX_SPAWN_DUP2, output, copy) for copy in (1, 2)]
        files = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), *copies]
        every = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
        try:
            if mark:
                resource.setrlimit(resource.RLIMIT_RTTIME, (mark, mark))
            os.chdir(cwd)  # posix_spawn() cannot
            os.putenv("PATH", env.get("PATH", os.defpath))  # where it looks for the program
            pid = os.posix_spawnp(
                argv[0], argv, env, file_actions=files, setsid=True, setsigmask=(), setsigdef=every
            )
        except (LookupError, OSError, TypeError, ValueError) as error:
            self._send(id=id, error=str(error), errno=getattr(error, "errno", None))
        else:
            self._keys[id] = {pid, mark or pid, b"FC_EMU_INSTANCE=" + os.fsencode(id)}
            self._running[id] = pid
            self._send(id=id, pid=pid)
        finally:
            os.chdir("/")
            os.close(output)

    def signal(self, id: str, signum: int) -> None:
        """Signal a group; until the child is reaped nobody else can have the group's number."""
        if id in self._running:
            with contextlib.suppress(OSError):
                os.killpg(self._running[id], signum)

    def end(self, id: str) -> None:
        """Kill the group now and the rest in rounds."""
        self._ending.add(id)
        self.signal(id, signal.SIGKILL)

    def temp(self, path: str) -> None:
        """Remove this folder at the end."""
        self._folders.append(path)

    def _send(self, **message: object) -> None:
        self._sock.sendall(json.dumps(message).encode() + b"\n")

    def _receive(self) -> bool:
        data, outputs, _, _ = socket.recv_fds(self._sock, 1 << 18, 253)
        for output in outputs:
            os.set_inheritable(output, False)
        self._outputs += outputs
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            getattr(self, message.pop("do"))(**message)
        return bool(data)

    def _reap(self) -> None:
        while (child := os.wait4(-1, os.WNOHANG))[0]:
            for id in [id for id, pid in self._running.items() if pid == child[0]]:
                self._ending.add(id)
                if not LINUX:  # there the group is all that can be found
                    self.signal(id, signal.SIGKILL)
                del self._running[id]
                n = os.waitstatus_to_exitcode(child[1])
                how = {"code": n, "signal": None} if n >= 0 else {"code": None, "signal": -n}
                rss = child[2].ru_maxrss // (1 if LINUX else 1024)
                self._send(id=id, exited={**how, "max_rss_kb": rss})

    def _end_some(self) -> None:
        owners = {key: id for id in self._ending for key in self._keys.get(id, ())}

        def owner_of(process: Process) -> str:
            return next((owners[key] for key in keys_of(process) if key in owners), "")

        left = {process.owner for process in end_all(os.getpid(), owner_of, rounds=1)}
        for id in self._ending - left - self._running.keys():
            self._ending.remove(id)
            self._keys.pop(id, None)
            self._send(id=id, ended=True)


if __name__ == "__main__":
    for ignored in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    adopt_orphans()
    os.set_inheritable(int(sys.argv[1]), False)
    Reaper(socket.socket(fileno=int(sys.argv[1]))).serve()
