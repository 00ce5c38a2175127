"""The listener for instances in containers: opened when the first of them is to start."""

import secrets
import socket
from contextlib import AsyncExitStack

from emulator.api.app import WireApi
from emulator.api.inside import InsideApi
from emulator.wiring.listeners import Listener, serve


class Inside:
    """Gives each instance its address; none where the emulator cannot listen for it.

    ``wire`` is set before the first instance starts.
    """

    def __init__(self) -> None:
        self.wire: WireApi | None = None
        self._stack = AsyncExitStack()
        self._tokens: set[str] = set()
        self._authority = ""

    async def open(self, address: str) -> None:
        """Listen on the address of this machine that instances reach; once."""
        if self._authority or self.wire is None:
            return
        bound = socket.socket(socket.AF_INET)
        try:
            bound.bind((address, 0))
        except OSError:  # the engine's network is not this machine's
            bound.close()
            return
        self._stack.callback(bound.close)
        self._authority = f"{address}:{bound.getsockname()[1]}"
        api = InsideApi(self.wire, self._tokens.__contains__, self._authority)
        await serve(self._stack, Listener([bound]), api)

    def admit(self) -> tuple[str, str] | None:
        """Give the endpoint for one more instance, and its token; None when there is none."""
        if not self._authority:
            return None
        token = secrets.token_hex(16)
        self._tokens.add(token)
        return f"http://{self._authority}/{token}", token

    def forget(self, token: str) -> None:
        """Let an instance that has ended in no more."""
        self._tokens.discard(token)

    async def close(self) -> None:
        """Stop listening."""
        await self._stack.aclose()
