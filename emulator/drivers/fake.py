"""Instances that exist in memory only, for tests and demos: what they do is scripted."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from emulator.core.request import Reply, Request
from emulator.engine.ports import InstanceDied, InstanceSpec, InstanceTimedOut, StartFailed, Usage


async def echo(request: Request) -> Reply:
    """Answer with the payload."""
    return Reply(200, {}, request.payload)


async def hang(request: Request) -> Reply:
    """Never answer."""
    while True:
        await asyncio.Event().wait()


async def die(request: Request) -> Reply:
    """End instead of answering."""
    raise InstanceDied(log=b"", peak_mb=None)


async def at_once(_: object = None) -> None:
    """Hold nothing up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How the instances of a function behave; each coroutine may wait for an ``asyncio.Event``.

    ``answer`` may raise InstanceDied, which ends the instance, and ``starting`` StartFailed.
    """

    answer: Callable[[Request], Awaitable[Reply]] = echo
    starting: Callable[[InstanceSpec], Awaitable[None]] = at_once
    stopping: Callable[[], Awaitable[None]] = at_once
    peak_mb: float | None = None


class FakeInstance:
    """An instance that follows a script. ``requests`` is what it was given so far."""

    def __init__(self, spec: InstanceSpec, script: Script) -> None:
        self.id = spec.instance_id
        self.spec = spec
        self.requests: list[Request] = []
        self._script = script
        self._answering: asyncio.Future[Reply] | None = None
        self._fit = True
        self._gone = asyncio.Event()
        self._status: int | None = None

    @property
    def living(self) -> bool:
        """Whether it has not ended, or failed to start."""
        return not self._gone.is_set()

    @property
    def reusable(self) -> bool:
        """Whether it is fit for another request."""
        return self._fit and self.living

    def end(self, status: int | None = None) -> None:
        """End it now, as if its process had exited; whoever waits for its answer gets none."""
        self._status = status if self.living else self._status
        self._gone.set()
        if self._answering is not None:
            self._answering.cancel()

    async def exchange(self, request: Request) -> Reply:
        """Answer as the script says; see ``engine.ports.Instance``."""
        if not self.living:
            raise InstanceDied(log=b"", peak_mb=self._script.peak_mb)
        self._fit = False
        self.requests.append(request)
        answering = self._answering = asyncio.ensure_future(self._script.answer(request))
        try:
            await asyncio.wait({answering}, timeout=request.timeout_s)
        finally:
            answering.cancel()
            self._answering = None
        if answering.cancelled():
            raise InstanceDied(log=b"", peak_mb=self._script.peak_mb)
        if not answering.done():
            self.end()
            raise InstanceTimedOut(log=b"", peak_mb=self._script.peak_mb)
        if isinstance(answering.exception(), InstanceDied):
            self.end(1)
        self._fit = answering.exception() is None
        return answering.result()

    async def usage(self) -> Usage:
        """Tell what the script says."""
        return Usage(self._script.peak_mb)

    async def stop(self, *, grace_s: float) -> None:
        """End it, whatever it is doing."""
        self._fit = False
        await self._script.stopping()
        self.end()

    async def wait(self) -> int | None:
        """Return once it has ended: the status that it was given."""
        await self._gone.wait()
        return self._status


class FakeDriver:
    """Starts instances by ``scripts``, which are by function id; without one they echo.

    ``instances`` are all whose start was begun, ``most_living`` how many there were at a time.
    """

    name = "fake"

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.instances: list[FakeInstance] = []
        self.most_living = 0
        self._closed = False

    @property
    def living(self) -> list[FakeInstance]:
        """The instances that start or have started, and have not ended."""
        return [instance for instance in self.instances if instance.living]

    async def start(self, spec: InstanceSpec) -> FakeInstance:
        """Start an instance as its function's script says."""
        script = self.scripts.get(spec.function_id, Script())
        self.instances.append(instance := FakeInstance(spec, script))
        self.most_living = max(self.most_living, len(self.living))
        try:
            await script.starting(spec)
        except BaseException:
            instance.end()
            raise
        if self._closed:
            instance.end()
            raise StartFailed("the driver is closed")
        return instance

    async def close(self) -> None:
        """End every instance; what is still starting does not come up."""
        self._closed = True
        for instance in self.living:
            instance.end()
