"""Our side of the sweeper; ``sweeper.py`` is the other."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from contextlib import suppress

RESTART_S = 0.2
"""Between the loss of one sweeper and the start of the next. Ours: promise P5 gives 5 s."""

CLOSE_S = 2.0


class Sweeper:
    """Keeps one sweeper process running until ``close``; a killed one is replaced.

    Args:
        tag: the state's uuid.
        environ: where the engine is, for the process.
    """

    def __init__(self, tag: str, environ: Mapping[str, str]) -> None:
        self._tag = tag
        self._environ = dict(environ)
        self._closing = asyncio.Event()
        self._process: Process | None = None
        self._keeping: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The present process; None before `start`."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start the process; what it is for is safe from then on."""
        self._process = await self._launch()
        self._keeping = asyncio.get_running_loop().create_task(self._keep())

    async def close(self) -> None:
        """End the process without a sweep. Twice is fine."""
        self._closing.set()
        if self._keeping is not None:
            await self._keeping

    async def _launch(self) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "emulator.drivers.sweeper",
            self._tag,
            stdin=PIPE,
            stdout=DEVNULL,
            stderr=DEVNULL,
            cwd="/",
            env=self._environ,
            start_new_session=True,
        )

    async def _keep(self) -> None:
        closing = asyncio.ensure_future(self._closing.wait())
        while True:
            process = self._process
            assert process is not None
            ended = asyncio.ensure_future(process.wait())
            await asyncio.wait({closing, ended}, return_when=asyncio.FIRST_COMPLETED)
            if closing.done():
                await self._dismiss(process, ended)
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(RESTART_S):
                    await asyncio.shield(closing)
            self._process = await self._launch()

    async def _dismiss(self, process: Process, ended: "asyncio.Future[int]") -> None:
        assert process.stdin is not None
        with suppress(ConnectionError):
            process.stdin.write(b"done\n")
            await process.stdin.drain()
        process.stdin.close()
        await asyncio.wait({ended}, timeout=CLOSE_S)
        if not ended.done():
            process.kill()
            await ended
