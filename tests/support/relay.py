"""A Unix socket that passes connections on to another, and can be made to vanish."""

import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType


class Relay:
    """Passes on until the ``with`` block is left, which cuts every connection.

    Silent, it accepts and passes nothing on, as an engine that hangs.
    """

    def __init__(self, path: Path, target: str, *, silent: bool = False) -> None:
        self._path = path
        self._target = target
        self._silent = silent
        self._ends: list[socket.socket] = []
        self._pumping: list[threading.Thread] = []

    def __enter__(self) -> "Relay":
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._path.unlink()
        _cut(self._listener)
        self._accepting.join()
        self._listener.close()
        for end in self._ends:
            _cut(end)
        for pumping in self._pumping:
            pumping.join()
        for end in self._ends:
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._ends.append(near)
                if self._silent:
                    continue
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._target)
                self._ends.append(far)
                for pair in ((near, far), (far, near)):
                    self._pumping.append(threading.Thread(target=_pump, args=pair, daemon=True))
                    self._pumping[-1].start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    _cut(sink)
    _cut(source)


def _cut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
