"""Our side of the sweeper; ``sweeper.py`` is the other."""

import asyncio
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

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
        self._argv = [sys.executable, "-m", "emulator.drivers.sweeper", tag]
        self._options: dict[str, Any] = {
            "stdout": DEVNULL,
            "stderr": DEVNULL,
            "cwd": "/",
            "env": dict(environ),
            "start_new_session": True,
        }
        self._closing = asyncio.Event()
        self._done = True
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

    async def close(self, *, done: bool) -> None:
        """End the process; unless ``done``, start one that sweeps what is left. Twice is fine."""
        self._done = done
        self._closing.set()
        if self._keeping is not None:
            await self._keeping

    async def _launch(self) -> Process:
        return await asyncio.create_subprocess_exec(*self._argv, **self._options, stdin=PIPE)

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
        if not self._done:
            self._leave_one()
        with suppress(ConnectionError):
            process.stdin.write(b"done\n")
            await process.stdin.drain()
        process.stdin.close()
        await asyncio.wait({ended}, timeout=CLOSE_S)
        if not ended.done():
            process.kill()
            await ended

    def _leave_one(self) -> None:
        """Start a sweeper that finds its input at an end, and outlives us; asyncio would end it."""
        subprocess.Popen(self._argv, **self._options, stdin=subprocess.DEVNULL)
