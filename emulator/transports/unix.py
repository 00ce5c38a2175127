"""A Unix socket per instance: the emulator listens, the instance connects, once.

That the instance connects, and not the other way round, means that its readiness is an event
and never a poll, and that the socket belongs to us whatever user the instance runs as.
"""

import asyncio
import hmac
import socket
from pathlib import Path

MAX_HELLO_BYTES = 256
"""The one line by which an instance introduces itself. Ours."""


class UnixEndpoint:
    """Where one instance is awaited. Closed by ``close``, which also removes the file.

    ``mode`` lets instances of other users in; the folder and the token keep strangers out.
    """

    def __init__(self, path: Path, mode: int = 0o600) -> None:
        self.path = path
        self.address = f"unix:{path}"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.setblocking(False)
        self._listener.bind(str(path))
        path.chmod(mode)
        self._listener.listen(1)

    async def connected(self, token: str) -> socket.socket:
        """Wait for the instance that knows ``token``; others are turned away.

        The socket is non-blocking; the caller owns it. Cancelling leaves nothing open.
        """
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(self._listener)
            try:
                hello = await _read_line(connection)
            except BaseException:
                connection.close()
                raise
            if hello.startswith(b"FC-EMU/1 ") and len(hello.split()) > 1 and _names(hello, token):
                return connection
            connection.close()

    def close(self) -> None:
        """Stop listening and remove the socket file. Twice is fine."""
        self._listener.close()
        self.path.unlink(missing_ok=True)


def _names(hello: bytes, token: str) -> bool:
    return hmac.compare_digest(hello.split()[1], token.encode())


async def _read_line(connection: socket.socket) -> bytes:
    """Read up to a line feed, one byte at a time so that nothing behind it is lost."""
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    line = bytearray()
    while not line.endswith(b"\n") and len(line) < MAX_HELLO_BYTES:
        byte = await loop.sock_recv(connection, 1)
        if not byte:
            break
        line += byte
    return bytes(line)
