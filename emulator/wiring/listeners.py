"""The two listeners: sockets first, so that a taken port stops a start before anything runs."""

import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from aiohttp import web

from emulator.core.limits import KEEPALIVE_S
from emulator.listen import bind_loopback

MAX_LINE_BYTES = 8190
"""Request line and one header. Source: bad input list; the value of common servers."""

MAX_HEADERS = 100
"""Headers of a request. Source: bad input list."""

CLOSE_S = 1.0
"""How long connections get to end once all work is done. Ours."""

LINGER_S = 2.0
"""How long the rest of a refused body is thrown away, so that its sender can read the answer."""


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Listener:
    """Bound sockets, not yet answered; ``url`` is the address to give to people."""

    sockets: list[socket.socket]

    @property
    def port(self) -> int:
        """The port, also where any was asked for."""
        return int(self.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self.port}"


def bind(stack: AsyncExitStack, port: int) -> Listener:
    """Take a port; the sockets are closed with ``stack``.

    Raises:
        PortTaken: it is in use.
    """
    listener = Listener(bind_loopback(port))
    for bound in listener.sockets:
        stack.callback(bound.close)
    return listener


async def serve(stack: AsyncExitStack, listener: Listener, handler: Handler) -> None:
    """Answer on a listener until ``stack`` is closed."""
    server = web.Server(
        handler,
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=KEEPALIVE_S,
        lingering_time=LINGER_S,
        logger=logging.getLogger("fc_emu.http"),
        max_field_size=MAX_LINE_BYTES,
        max_headers=MAX_HEADERS,
        max_line_size=MAX_LINE_BYTES,
    )
    runner = web.ServerRunner(server, shutdown_timeout=CLOSE_S)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    for bound in listener.sockets:
        await web.SockSite(runner, bound).start()
