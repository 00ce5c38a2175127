"""The Docker driver with its folder, channel and transport; imported only where it is used."""

from collections.abc import Callable, Mapping
from pathlib import Path

from emulator.drivers.containers import DockerDriver, Inside
from emulator.drivers.docker import DockerEngine
from emulator.engine.events import Event
from emulator.state import State, runtime_dir
from emulator.transports.unix import UnixEndpoint
from emulator.wiring.drivers import make_empty, push_channel


def docker_driver(
    state: State,
    environ: Mapping[str, str],
    emit: Callable[[Event], None],
    engine: DockerEngine,
    inside: Inside,
) -> DockerDriver:
    """Make the Docker driver of a state.

    Raises:
        StateUnusable: its folder cannot be made, or is somebody else's.
    """
    run = runtime_dir(state.path, environ)
    make_empty(run)
    return DockerDriver(
        engine,
        run,
        tag=state.uuid,
        environ=environ,
        emit=emit,
        endpoint=_endpoint,
        channel=push_channel,
        inside=inside,
    )


def _endpoint(path: Path) -> UnixEndpoint:
    """Let any user of the container in: its folder is closed to everybody else."""
    return UnixEndpoint(path, mode=0o666)
