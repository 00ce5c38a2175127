"""Drivers with their folders, channels and transports."""

import asyncio
import shutil
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from emulator.channels.push import PushChannel
from emulator.drivers.helper import end_tagged
from emulator.drivers.launched import Channel
from emulator.drivers.process import ProcessDriver, ProcessPaths
from emulator.engine.events import Event
from emulator.state import State, StateUnusable, private_folder, runtime_dir
from emulator.transports.unix import UnixEndpoint


def process_driver(
    state: State, environ: Mapping[str, str], emit: Callable[[Event], None]
) -> ProcessDriver:
    """Make the process driver of a state; what an earlier run of it left is ended first.

    Raises:
        StateUnusable: its folders cannot be made, or are somebody else's.
    """
    end_tagged(state.uuid)
    sockets = runtime_dir(state.path, environ)
    paths = ProcessPaths(sockets=sockets, temp=state.path / "tmp", bytecode=state.path / "bytecode")
    make_empty(paths.sockets, paths.temp, paths.bytecode)
    return ProcessDriver(
        paths, tag=state.uuid, emit=emit, endpoint=UnixEndpoint, channel=push_channel
    )


def make_empty(sockets: Path, *folders: Path) -> None:
    """Make the driver's own folders anew, closed to other users.

    Raises:
        StateUnusable: they cannot be made, or are somebody else's.
    """
    for folder in (sockets, *folders):
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)
    for folder in (sockets.parent, sockets, *folders):
        try:
            private_folder(folder)
        except OSError as error:
            raise StateUnusable(f"{folder} cannot be used: {error.strerror}") from error


async def push_channel(connection: socket.socket) -> Channel:
    """Speak HTTP over what has connected."""
    loop = asyncio.get_running_loop()
    _, channel = await loop.create_connection(PushChannel, sock=connection)
    return channel
