"""An instance: something that was started, and the channel by which it is spoken to."""

import asyncio
from contextlib import suppress
from typing import Protocol

from emulator.core.request import Reply, Request
from emulator.drivers.output import Output
from emulator.engine.ports import InstanceDied, InstanceTimedOut, Usage

TIMEOUT_GRACE_S = 0.5
"""What a function that ran out of time gets to say where it was, before it is killed. Ours: the
service sends SIGTERM first; its grace is not published."""

EXIT_DEADLINE_S = 1.0
"""How long the exit of an instance whose connection has closed is awaited before it is killed."""


class Channel(Protocol):
    """How an instance is spoken to. ``open`` is False once it cannot carry a request."""

    open: bool

    async def exchange(self, request: Request) -> Reply:
        """Send and give the answer; ConnectionError when the connection ended first."""
        ...

    def close(self) -> None:
        """End it. Twice is fine."""
        ...


class Handle(Protocol):
    """What was started: a process group or a container.

    ``out_of_memory`` tells of one that has ended whether its memory limit was met.
    """

    out_of_memory: bool

    def peak_mb(self) -> float | None:
        """Most memory it has used, living or dead; None when not known."""
        ...

    async def wait(self) -> int | None:
        """Return once it is gone: its exit status, None when not known."""
        ...

    async def terminate(self, grace_s: float) -> None:
        """Ask it to end, give it ``grace_s`` seconds, then remove all of it."""
        ...


class LaunchedInstance:
    """A Handle and a Channel together, as the engine's Instance."""

    def __init__(
        self, instance_id: str, *, handle: Handle, channel: Channel, output: Output
    ) -> None:
        self.id = instance_id
        self._handle = handle
        self._channel = channel
        self._output = output
        self._fit = True

    @property
    def reusable(self) -> bool:
        """Whether it is fit for another request."""
        return self._fit and self._channel.open

    async def exchange(self, request: Request) -> Reply:
        """Hand over a request; see ``engine.ports.Instance``."""
        self._output.begin(request.id)
        self._fit = False
        try:
            async with asyncio.timeout(request.timeout_s):
                reply = await self._channel.exchange(request)
        except TimeoutError:
            await self.stop(grace_s=TIMEOUT_GRACE_S)
            raise InstanceTimedOut(
                log=await self._output.to_end(), peak_mb=self._handle.peak_mb()
            ) from None
        except ConnectionError:
            self._handle.peak_mb()  # what is counted is there for a moment yet
            await self._await_exit()
            raise InstanceDied(
                log=await self._output.to_end(),
                peak_mb=self._handle.peak_mb(),
                out_of_memory=self._handle.out_of_memory,
            ) from None
        log = await self._output.of_request()
        self._fit = True
        return Reply(reply.status, reply.headers, reply.body, log)

    async def usage(self) -> Usage:
        """Tell what it has used."""
        return Usage(self._handle.peak_mb())

    async def stop(self, *, grace_s: float) -> None:
        """End it; return once nothing of it is left. Twice is fine."""
        self._fit = False
        await self._handle.terminate(grace_s)
        self._channel.close()

    async def wait(self) -> int | None:
        """Return once its process is gone."""
        return await self._handle.wait()

    async def _await_exit(self) -> None:
        """See the process off; one that only closed its connection is ended."""
        with suppress(TimeoutError):
            async with asyncio.timeout(EXIT_DEADLINE_S):
                await self._handle.wait()
        await self.stop(grace_s=0)
