"""A folder that an instance shares with us, and the proof that it works with this engine."""

import asyncio
import os
import secrets
import shutil
from pathlib import Path

from emulator.drivers import container_options as at
from emulator.drivers.docker import DockerEngine
from emulator.engine.ports import StartFailed

PROBE_S = 10.0
"""What the throw-away container gets to write one line. Ours: it needs half a second."""

PROBE_MEMORY_MB = 64

NO_SHELL = 127
"""How the init of a container ends in an image without a shell: then nothing is proved, and the
first instance shows whether it works."""


async def probe(engine: DockerEngine, folder: Path, *, image: str, tag: str) -> int:
    """Have a throw-away container write its limit of open files into a pipe in ``folder``.

    A pipe works exactly where a socket does: where both sides share one kernel. ``folder`` is
    removed. The limit is 0 where it cannot be known.

    Raises:
        EngineError: the container could not be made.
        StartFailed: it ran and nothing came: the engine does not share this machine's folders.
    """
    keeping, reading = named_pipe(folder)
    options = at.create_options(
        at.Container(
            name=f"fc-emu-{tag[:8]}-probe-{secrets.token_hex(2)}",
            argv=["/bin/sh", "-c", f"ulimit -Hn > {at.RUN}/output"],
            env={},
            labels={at.STATE_LABEL: tag},
            memory_mb=PROBE_MEMORY_MB,
            network="none",
            run=str(folder),
            mounts=(),
            nofile=None,
        )
    )
    container = ""
    try:
        container = await engine.call(engine.create, image, options)
        await engine.call(engine.start, container)
        line = await _line_from(reading)
        return int(line) if line.isdecimal() else at.NOFILE_LIMIT
    except TimeoutError:
        if (await engine.call(engine.inspect, container))["State"]["ExitCode"] == NO_SHELL:
            return 0
        raise StartFailed(
            f"the Docker engine at {engine.address} does not share this machine's folders: a "
            f"container wrote into a pipe in {folder} and nothing arrived. Engines elsewhere are "
            "not supported by this version; --driver process runs without"
        ) from None
    finally:
        os.close(keeping)
        os.close(reading)
        if container:
            await engine.call(engine.remove, container)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def named_pipe(folder: Path) -> tuple[int, int]:
    """Make ``output`` in a folder; give an end that keeps it open, and one to read from."""
    path = folder / "output"
    os.mkfifo(path)
    path.chmod(0o622)
    # Without a writer a reader would see its end before the container has begun.
    keeping = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    return keeping, os.open(path, os.O_RDONLY | os.O_NONBLOCK)


async def _line_from(descriptor: int) -> str:
    """Read one line as it comes.

    Raises:
        TimeoutError: none came.
    """
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    text = b""
    try:
        async with asyncio.timeout(PROBE_S):
            while not text.endswith(b"\n"):
                await readable.wait()
                readable.clear()
                text += os.read(descriptor, 64)
    finally:
        loop.remove_reader(descriptor)
    return text.decode("ascii", "replace").strip()
