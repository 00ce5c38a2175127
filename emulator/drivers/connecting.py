"""Waiting for an instance that was started: it connects, it ends, or it is too late."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

from emulator.drivers.launched import Channel, Handle
from emulator.drivers.output import Output
from emulator.engine.ports import StartFailed

START_DEADLINE_S = 30.0
"""How long an interpreter may take until it connects. Ours: our bootstrap needs some tens of
milliseconds; a busy machine, a cold disk or a slow network drive needs seconds."""


class Endpoint(Protocol):
    """Where one instance is awaited; ``address`` is what the bootstrap is told."""

    address: str

    async def connected(self, token: str) -> socket.socket:
        """Wait for the instance that knows ``token``."""
        ...

    def close(self) -> None:
        """Await nobody any more. Twice is fine."""
        ...


MakeChannel = Callable[[socket.socket], Awaitable[Channel]]


async def connected(
    endpoint: Endpoint,
    token: str,
    make_channel: MakeChannel,
    *,
    handle: Handle,
    output: Output,
    what: str,
) -> Channel:
    """Give the channel to an instance once it has connected; ``what`` names it in errors.

    Raises:
        StartFailed: it ended before, or did neither in time.
    """
    connecting = asyncio.ensure_future(endpoint.connected(token))
    exiting = asyncio.ensure_future(handle.wait())
    try:
        await asyncio.wait(
            {connecting, exiting}, timeout=START_DEADLINE_S, return_when=asyncio.FIRST_COMPLETED
        )
        if connecting.done():
            return await make_channel(connecting.result())
        if exiting.done():
            raise StartFailed(
                f"{what} ended with status {exiting.result()} before it was ready",
                log=await output.to_end(),
                by_function=True,
            )
        raise StartFailed(
            f"{what} was not ready after {START_DEADLINE_S:g} s", log=await output.of_request()
        )
    finally:
        connecting.cancel()
        exiting.cancel()
