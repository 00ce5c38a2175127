"""One container: how it ended, what memory it used, and its removal."""

import asyncio
import shutil
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from emulator.drivers.docker import DockerEngine, EngineError, NoSuchContainer

EVENT_DEADLINE_S = 1.0
"""How long the event of a removed container's death is awaited. Ours."""

CGROUPS = Path("/sys/fs/cgroup")
MB = 1024 * 1024


class ContainerHandle:
    """A container that was created; see ``drivers.launched.Handle``.

    ``limit_mb`` is its memory limit, ``folder`` the folder shared with it, removed at its end;
    ``on_removed`` is called then.
    """

    def __init__(
        self,
        engine: DockerEngine,
        container: str,
        *,
        folder: Path,
        limit_mb: int,
        on_removed: Callable[[], None],
    ) -> None:
        self.container = container
        self.out_of_memory = False
        self._engine = engine
        self._folder = folder
        self._limit_mb = limit_mb
        self._on_removed = on_removed
        self._peak_file: Path | None = None
        self._peak_mb: float | None = None
        self._exited: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._removal: asyncio.Future[None] | None = None

    def identify(self, connection: socket.socket) -> None:
        """Learn from the process that has connected where the kernel counts its memory."""
        with suppress(OSError):
            size = struct.calcsize("3i")
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            pid = struct.unpack("3i", peer)[0]
            self._peak_file = peak_file(Path(f"/proc/{pid}/cgroup").read_text("ascii"), CGROUPS)

    def peak_mb(self) -> float | None:
        """Most memory so far, page cache included, as the limit counts it; None if not known."""
        if self.out_of_memory:
            return float(self._limit_mb)
        if self._peak_file is not None:
            with suppress(OSError, ValueError):
                self._peak_mb = int(self._peak_file.read_text("ascii")) / MB
        return self._peak_mb

    async def wait(self) -> int | None:
        """Return once it has ended: its exit status, None when not known."""
        return await asyncio.shield(self._exited)

    async def look(self) -> None:
        """Ask the engine whether it has ended, and how."""
        try:
            state = (await self._engine.call(self._engine.inspect, self.container))["State"]
        except NoSuchContainer:
            self._over(None)
            return
        except EngineError:
            return  # asked again when the engine is back
        if not state["Running"] and state["Status"] != "created":
            self.out_of_memory = bool(state["OOMKilled"])
            self._over(int(state["ExitCode"]))

    async def terminate(self, grace_s: float) -> None:
        """Send SIGTERM, wait ``grace_s``, then remove everything that is left."""
        if grace_s > 0 and not self._exited.done():
            with suppress(EngineError):
                await self._engine.call(self._engine.signal, self.container, "SIGTERM")
            with suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self.wait()
        if self._removal is None:
            self._removal = asyncio.ensure_future(self._remove())
        await asyncio.shield(self._removal)

    async def _remove(self) -> None:
        # What the engine cannot be told now is told at the next start, by the label.
        with suppress(EngineError):
            await self._engine.call(self._engine.remove, self.container)
            with suppress(TimeoutError):
                async with asyncio.timeout(EVENT_DEADLINE_S):
                    await self.wait()
        self._over(None)
        self._on_removed()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def _over(self, status: int | None) -> None:
        if not self._exited.done():
            self._exited.set_result(status)


def peak_file(membership: str, root: Path) -> Path | None:
    """Find the file that holds a process's peak memory, from its ``/proc/PID/cgroup``."""
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return root / "memory" / path.lstrip("/") / "memory.max_usage_in_bytes"
        if controllers == "":
            unified = root / path.lstrip("/") / "memory.peak"
            if unified.exists():
                return unified
    return None
