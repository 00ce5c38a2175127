"""Plays the emulator for one bootstrap: listens, starts it, sends requests, reads its output.

Blocking and without threads: whatever is awaited, output is read meanwhile, so that a full pipe
never holds the bootstrap up. Every wait has a deadline.
"""

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

DEADLINE_S = 15.0
"""How long anything may take. Only a broken bootstrap comes near."""

SIGNAL_AGAIN_S = 1.0
"""After how long a signal that had no effect is sent again."""

TOKEN = "0123456789abcdef"

OLDEST_MINOR, NEWEST_MINOR = 6, 13

PROBE = "import sys; print('3.%d' % sys.version_info[1], sys.executable)"


@dataclass(frozen=True)
class Interpreter:
    """A Python that runs, by its version ``3.N``."""

    version: str
    path: str


@dataclass(frozen=True)
class Answer:
    """What came back for a request; names of headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Disconnected(Exception):
    """The bootstrap closed the connection before it had answered."""


@cache
def find_interpreters() -> list[Interpreter]:
    """Find one interpreter per version: this one, then PATH, then ``FC_EMU_TEST_PYTHONS``.

    A name that does not run (a shim of pyenv for a version that is not selected) does not count.
    """
    folders = os.environ.get("PATH", "").split(":")
    folders += os.environ.get("FC_EMU_TEST_PYTHONS", "").split(":")
    names = [f"python3.{minor}" for minor in range(OLDEST_MINOR, NEWEST_MINOR + 1)]
    candidates = [sys.executable] + [
        str(Path(folder) / name) for name in names for folder in folders if folder
    ]
    found: dict[str, Interpreter] = {}
    for path in candidates:
        if not os.access(path, os.X_OK):
            continue
        probe = subprocess.run(
            [path, "-c", PROBE], capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
        if probe.returncode == 0:
            version, _, executable = probe.stdout.strip().partition(" ")
            found.setdefault(version, Interpreter(version, executable))
    return sorted(found.values(), key=lambda one: int(one.version.partition(".")[2]))


class BootstrapPeer:
    """One bootstrap and the emulator's side of it. A context manager that leaves no process."""

    def __init__(
        self, argv: Sequence[str], code: Path, *, env: Mapping[str, str] | None = None
    ) -> None:
        self.output = b""
        self._buffer = b""
        # The path of a socket has 108 bytes at most, and TMPDIR may take them all.
        self._folder = tempfile.mkdtemp(prefix="fc-", dir="/tmp")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        self._pipe: int | None = reading
        try:
            listener.settimeout(DEADLINE_S)
            listener.bind(f"{self._folder}/s")
            listener.listen(1)
            self.process = subprocess.Popen(
                argv,
                env={
                    "PATH": "/usr/local/bin:/usr/bin:/bin",
                    "FC_FUNC_CODE_PATH": str(code),
                    "_FC_EMU_CONNECT": f"unix:{self._folder}/s",
                    "_FC_EMU_TOKEN": TOKEN,
                    **(env or {}),
                },
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                start_new_session=True,
            )
            os.close(writing)
            writing = -1
            self._socket = self._accept(listener)
        finally:
            listener.close()
            if writing >= 0:
                os.close(writing)
        self.hello = self._read_hello()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._socket.close()
        self._end_processes()
        self._close_pipe()
        shutil.rmtree(self._folder, ignore_errors=True)

    def invoke(
        self, event: bytes = b"", *, handler: str = "index.handler", request_id: str = "r-1"
    ) -> Answer:
        """Send an event, as the emulator does; give the answer."""
        return self.request(
            {"x-fc-request-id": request_id, "x-fc-function-handler": handler}, event
        )

    def request(
        self, headers: Mapping[str, str], body: bytes = b"", *, start: str = "POST /invoke"
    ) -> Answer:
        """Send a request and give the answer.

        Raises:
            Disconnected: the connection ended first.
        """
        self.send(headers, body, start=start)
        return self.receive()

    def send(
        self, headers: Mapping[str, str], body: bytes = b"", *, start: str = "POST /invoke"
    ) -> None:
        """Send a request and leave its answer for ``receive``."""
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([f"{start} HTTP/1.1", *lines, f"content-length: {len(body)}", "", ""])
        self.send_bytes(head.encode() + body)

    def send_bytes(self, data: bytes) -> None:
        """Send anything."""
        rest = memoryview(data)
        while rest:
            self._wait(writing=True)
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                continue
            except ConnectionError as error:
                raise Disconnected from error

    def receive(self) -> Answer:
        """Give the next answer; all output that was in the pipe before it has then been read.

        Raises:
            Disconnected: the connection ended first.
        """
        while b"\r\n\r\n" not in self._buffer:
            self._receive_more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        parts, missing = [self._buffer], int(headers["content-length"]) - len(self._buffer)
        while missing > 0:
            self._buffer = b""
            self._receive_more()
            parts.append(self._buffer)
            missing -= len(self._buffer)
        assert missing == 0, "more than the answer arrived"
        self._buffer = b""
        self._read_output()
        return Answer(int(status_line.split(" ")[1]), headers, b"".join(parts))

    def wait_for_output(self, is_there: Callable[[bytes], bool]) -> bytes:
        """Read until the output so far has what is awaited; give it."""
        until = time.monotonic() + DEADLINE_S
        while not is_there(self.output):
            assert self._pipe is not None, f"the output ended: {self.output!r}"
            assert time.monotonic() < until, f"the output is only {self.output!r}"
            select.select([self._pipe], [], [], DEADLINE_S)
            self._read_output()
        return self.output

    def wait_for_exit(self) -> int:
        """Read until the output ends; give the exit status, negative for a signal."""
        until = time.monotonic() + DEADLINE_S
        while self._pipe is not None:
            assert time.monotonic() < until, f"the output does not end: {self.output!r}"
            select.select([self._pipe], [], [], DEADLINE_S)
            self._read_output()
        return self.process.wait(DEADLINE_S)

    def hang_up(self) -> None:
        """Close the connection, as an emulator that ends."""
        self._socket.close()

    def end_by_sigterm(self) -> int:
        """Send SIGTERM to the bootstrap alone until it ends; give the exit status.

        Python sees a signal that arrives just before a blocking call only after that call, or
        when a second one interrupts it.
        """
        until = time.monotonic() + DEADLINE_S
        while self._pipe is not None:
            assert time.monotonic() < until, f"SIGTERM does not end it: {self.output!r}"
            self.process.send_signal(signal.SIGTERM)
            while self._pipe is not None and select.select([self._pipe], [], [], SIGNAL_AGAIN_S)[0]:
                self._read_output()
        return self.process.wait(DEADLINE_S)

    def take_output(self) -> str:
        """Give what was read and not taken yet."""
        taken, self.output = self.output.decode(), b""
        return taken

    def _accept(self, listener: socket.socket) -> socket.socket:
        try:
            connection, _ = listener.accept()
        except BaseException:
            self._end_processes()
            self._read_output()
            self._close_pipe()
            print(self.output.decode(errors="replace"))  # noqa: T201 - why it did not connect
            raise
        connection.setblocking(False)
        return connection

    def _read_hello(self) -> str:
        while not self._buffer.endswith(b"\n"):
            self._receive_more()
        hello, self._buffer = self._buffer.decode(), b""
        return hello

    def _receive_more(self) -> None:
        self._wait(writing=False)
        try:
            data = self._socket.recv(1 << 20)
        except BlockingIOError:
            return
        except ConnectionError as error:
            raise Disconnected from error
        if not data:
            raise Disconnected
        self._buffer += data

    def _wait(self, *, writing: bool) -> None:
        """Wait for the socket, reading output until it is ready."""
        until = time.monotonic() + DEADLINE_S
        while True:
            reading = [] if writing else [self._socket.fileno()]
            pipe = [] if self._pipe is None else [self._pipe]
            ready, writable, _ = select.select(
                reading + pipe, [self._socket] if writing else [], [], DEADLINE_S
            )
            if self._pipe in ready:
                self._read_output()
            if writable or self._socket.fileno() in ready:
                return
            assert time.monotonic() < until, f"no answer; the output is {self.output!r}"

    def _read_output(self) -> None:
        while self._pipe is not None:
            try:
                data = os.read(self._pipe, 1 << 20)
            except BlockingIOError:
                return
            self.output += data
            if not data:
                self._close_pipe()

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    def _end_processes(self) -> None:
        """Kill the bootstrap and all that it started: they are one process group.

        Once the bootstrap was waited for, its number may belong to others.
        """
        if self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE_S)
