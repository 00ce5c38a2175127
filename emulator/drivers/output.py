"""What an instance prints, cut into lines and at the end of each request.

The bootstrap writes a mark when a request is over and before it answers: by the time the answer
is here the mark is in the pipe, so the request's output is complete once the mark is read.
Nothing is waited for that has not already been written.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from emulator.core.limits import LOG_KEPT_BYTES, MAX_LOG_LINE_BYTES

MARK_DEADLINE_S = 1.0
"""How long an answer waits for the mark of its request, should the function have closed its
standard output. Ours."""

MAX_MARK_BYTES = 256
"""More than a mark has: this much of a line without an end stays whole, for it may hold the
beginning of one."""

PLATFORM_PREFIXES = (b"FC Invoke Start RequestId: ", b"FC Invoke End RequestId: ")
"""Lines that the runtime prints around each call. Source: runtime contract, log lines."""

INITED_SUFFIX = b" runtime inited."


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its end, or what was there of one when the request or the stream ended."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """The end of a request."""

    request_id: str


class OutputSplitter:
    """Cuts the stream of one instance; pure. ``token`` is the instance's own, so that what a
    function prints cannot pass for a mark."""

    def __init__(self, token: str) -> None:
        self._start = b"\x1e" + token.encode() + b" end "
        self._rest = b""

    def feed(self, data: bytes) -> list[Line | Mark]:
        """Take bytes as they arrive; give what is complete."""
        found: list[Line | Mark] = []
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._cut(line + b"\n", found)
        while len(self._rest) > MAX_LOG_LINE_BYTES + MAX_MARK_BYTES:
            found.append(Line(self._rest[:MAX_LOG_LINE_BYTES]))
            self._rest = self._rest[MAX_LOG_LINE_BYTES:]
        return found

    def finish(self) -> list[Line | Mark]:
        """Give what is left at the end of the stream."""
        rest, self._rest = self._rest, b""
        return [Line(rest)] if rest else []

    def _cut(self, line: bytes, found: list[Line | Mark]) -> None:
        text, mark, request_id = line.partition(self._start)
        found.extend(
            Line(text[start : start + MAX_LOG_LINE_BYTES])
            for start in range(0, len(text), MAX_LOG_LINE_BYTES)
        )
        if mark:
            found.append(Mark(request_id.strip().decode("ascii", "replace")))


def is_platform(line: bytes) -> bool:
    """Whether the runtime printed this and not the function."""
    return line.startswith(PLATFORM_PREFIXES) or (
        line.startswith(b"FunctionCompute ") and line.rstrip().endswith(INITED_SUFFIX)
    )


class Output(asyncio.Protocol):
    """The reading end of an instance's output; keeps the newest text of the current request.

    Args:
        token: the instance's own.
        on_line: hears each line as printed, with the request it belongs to or None.
        in_answers: rewrites a line for the caller's eyes.
    """

    def __init__(
        self,
        token: str,
        on_line: Callable[[str | None, bytes], None],
        in_answers: Callable[[bytes], bytes],
    ) -> None:
        self._splitter = OutputSplitter(token)
        self._on_line = on_line
        self._in_answers = in_answers
        self._request_id: str | None = None
        self._kept = bytearray()
        self._over = asyncio.Event()
        self._ended = asyncio.Event()
        self._first = True
        self._transport: asyncio.BaseTransport | None = None

    def begin(self, request_id: str) -> None:
        """Let what comes from now on belong to this request.

        The first one also gets what the instance printed while it started.
        """
        if not self._first:
            self._kept.clear()
        self._first = False
        self._request_id = request_id
        if not self._ended.is_set():
            self._over.clear()

    async def of_request(self) -> bytes:
        """Give the request's output once its mark is read, or the stream or patience ended."""
        return await self._once(self._over)

    async def to_end(self) -> bytes:
        """Give what is left once the stream has ended: the instance is gone."""
        return await self._once(self._ended)

    async def _once(self, event: asyncio.Event) -> bytes:
        if not event.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(MARK_DEADLINE_S):
                    await event.wait()
        self._request_id = None
        text = bytes(self._kept)
        self._kept.clear()
        return text

    def close(self) -> None:
        """Read no more. Twice is fine."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the pipe (called by asyncio)."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take a piece of the stream (called by asyncio)."""
        self._handle(self._splitter.feed(data))

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of the stream (called by asyncio)."""
        self._handle(self._splitter.finish())
        self._ended.set()
        self._over.set()

    def _handle(self, found: list[Line | Mark]) -> None:
        for item in found:
            match item:
                case Line(text):
                    self._kept += self._in_answers(text)
                    if len(self._kept) > 2 * LOG_KEPT_BYTES:
                        del self._kept[:-LOG_KEPT_BYTES]
                    self._on_line(self._request_id, text)
                case Mark(request_id) if request_id == self._request_id:
                    self._request_id = None
                    self._over.set()
                case Mark():
                    pass
