"""HTTP/1.1 to an instance over one connection that lasts as long as the instance.

A lean client of our own, because what it talks to is known: one request at a time, answers with
Content-Length. Whatever does not fit ends the connection, and with it the instance.
"""

import asyncio

from emulator.channels.headers import invoke_headers
from emulator.core.limits import MAX_RESULT_BYTES
from emulator.core.request import Reply, Request

MAX_HEAD_BYTES = 64 * 1024
"""An answer's status line and headers. Ours: every buffer has a number."""


class ChannelClosed(ConnectionError):
    """The instance closed the connection, or answered what is not an answer."""


class PushChannel(asyncio.Protocol):
    """One instance's connection. ``open`` is False once it cannot carry another request."""

    def __init__(self) -> None:
        self.open = True
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Reply] | None = None
        self._received = bytearray()
        self._head: tuple[int, dict[str, str]] | None = None
        self._missing = 0

    async def exchange(self, request: Request) -> Reply:
        """Send an invocation and give the answer.

        Raises:
            ChannelClosed: the connection ended first.
        """
        if not self.open or self._transport is None or self._answer is not None:
            raise ChannelClosed("the connection cannot carry a request")
        self._answer = asyncio.get_running_loop().create_future()
        headers = invoke_headers(request)
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(
            ("POST /invoke HTTP/1.1", *lines, f"content-length: {len(request.payload)}", "", "")
        )
        try:
            self._transport.write(head.encode("utf-8", "surrogateescape"))
            self._transport.write(request.payload)
            return await self._answer
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._answer = None

    def close(self) -> None:
        """End the connection; nothing is said to the instance but end of file."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport (called by asyncio)."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request that is under way (called by asyncio)."""
        self.open = False
        self._fail("the connection ended")

    def data_received(self, data: bytes) -> None:
        """Take a piece of an answer (called by asyncio)."""
        if self._answer is None or self._answer.done():
            self._fail("bytes arrived that nobody asked for")
            return
        self._received += data
        if self._head is None and not self._read_head():
            return
        if self._missing <= len(self._received):
            self._finish()

    def _read_head(self) -> bool:
        """Parse the head once it is complete; False while it is not, or when it is broken."""
        end = self._received.find(b"\r\n\r\n")
        if max(end, len(self._received) if end < 0 else 0) > MAX_HEAD_BYTES:
            self._fail("the head of an answer is too long")
            return False
        if end < 0:
            return False
        try:
            status, headers = _parse_head(bytes(self._received[:end]))
            self._missing = _number(headers["content-length"])
        except (ValueError, KeyError):
            self._fail("the head of an answer is not HTTP with a content-length")
            return False
        if self._missing > MAX_RESULT_BYTES:
            self._fail(f"an answer of {self._missing} bytes is over {MAX_RESULT_BYTES}")
            return False
        del self._received[: end + 4]
        self._head = (status, headers)
        return True

    def _finish(self) -> None:
        assert self._head is not None
        assert self._answer is not None
        status, headers = self._head
        body = bytes(self._received[: self._missing])
        surplus = len(self._received) > self._missing
        self._received.clear()
        self._head = None
        if surplus or headers.get("connection", "").lower() == "close":
            self.open = False
        if not self._answer.done():
            self._answer.set_result(Reply(status, headers, body))

    def _fail(self, why: str) -> None:
        self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ChannelClosed(why))


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Read a status line and headers; names in lower case, each given once."""
    status_line, *lines = head.decode("latin-1").split("\r\n")
    version, status, *_ = status_line.split(" ")
    if version != "HTTP/1.1":
        raise ValueError(version)
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(line)
        if name.lower() in headers:
            raise ValueError(line)
        headers[name.lower()] = value.strip()
    if len(status) != 3:
        raise ValueError(status)
    return _number(status), headers


def _number(text: str) -> int:
    """Read digits and nothing else; ``int`` would take signs and more."""
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(text)
    return int(text)
