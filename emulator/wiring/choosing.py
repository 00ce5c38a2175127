"""Which driver serves the whole run, which images it needs, and the making of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from emulator.config import Config, ConfigError
from emulator.core.runtimes import RuntimeSpec
from emulator.engine.events import Event
from emulator.engine.ports import InstanceDriver
from emulator.project import Project
from emulator.specs import load_runtimes, shipped
from emulator.state import State
from emulator.wiring.drivers import process_driver

if TYPE_CHECKING:
    from emulator.drivers.containers import Inside
    from emulator.drivers.docker import DockerEngine

ISOLATED_FROM_NOTHING = "functions run as your own processes, isolated from nothing"
DEFAULT_SOCKET = Path("/var/run/docker.sock")


class NoDriver(Exception):
    """Nothing here can run instances in the way that was asked for."""


@dataclass(frozen=True, slots=True)
class DriverChoice:
    """The one driver of a run, and why it is this one. ``engine`` is there for docker."""

    name: Literal["docker", "process"]
    why: str
    engine: "DockerEngine | None" = None


def runtimes_of(config: Config) -> dict[str, RuntimeSpec]:
    """Give every runtime with the image that this run uses for it.

    Raises:
        ConfigError: ``--image`` is not RUNTIME=IMAGE with a runtime that there is.
    """
    runtimes = load_runtimes(shipped("runtimes"))
    prefix = f"{config.registry.rstrip('/')}/" if config.registry else ""
    found = {
        name: replace(spec, image=prefix + spec.image) if spec.image else spec
        for name, spec in runtimes.items()
    }
    for item in config.image:
        name, equals, image = item.partition("=")
        if not equals or not image or name not in runtimes:
            raise ConfigError(
                f"--image takes RUNTIME=IMAGE with one of {', '.join(sorted(runtimes))}, "
                f"not {item!r}"
            )
        found[name] = replace(runtimes[name], image=image)
    return found


def choose_driver(
    config: Config,
    environ: Mapping[str, str],
    projects: Sequence[Project],
    runtimes: Mapping[str, RuntimeSpec],
) -> DriverChoice:
    """Pick the driver of the whole run; pulls nothing. Blocks: asks the engine.

    Raises:
        NoDriver: docker was asked for and no engine answers.
    """
    needed = {
        runtimes[function.function.runtime].image: function.function.runtime
        for project in projects
        for function in project.functions
        if function.function.runtime in runtimes
    }
    match config.driver:
        case "process":
            return DriverChoice("process", ISOLATED_FROM_NOTHING)
        case "auto" if not needed or not _may_be_there(environ):
            return DriverChoice("process", ISOLATED_FROM_NOTHING)
    from emulator.drivers.docker import EngineError, connect, missing_image

    try:
        engine = connect(environ)
        missing = [image for image in sorted(needed) if not engine.has_image(image)]
    except EngineError as error:
        if config.driver == "docker":
            text = f"{error}. --driver process runs without: {ISOLATED_FROM_NOTHING}"
            raise NoDriver(text) from error
        return DriverChoice("process", f"{ISOLATED_FROM_NOTHING} ({error})")
    if not missing:
        return DriverChoice("docker", f"containers of the engine at {engine.address}", engine)
    lacking = "; ".join(
        f"{needed[image]}: {missing_image(image, needed[image])}" for image in missing
    )
    if config.driver == "docker":
        text = f"containers of the engine at {engine.address}. Some functions cannot run: {lacking}"
        return DriverChoice("docker", text, engine)
    engine.close()
    return DriverChoice("process", f"{ISOLATED_FROM_NOTHING}. Docker is there, but: {lacking}")


async def make_driver(
    state: State,
    environ: Mapping[str, str],
    emit: Callable[[Event], None],
    *,
    docker: "DockerEngine | None",
    inside: "Inside",
) -> InstanceDriver:
    """Make the driver of a state; what an earlier run of it left is ended first.

    Raises:
        StateUnusable: its folders cannot be made, or are somebody else's.
    """
    if docker is None:
        return process_driver(state, environ, emit)
    from emulator.wiring.docker_driver import docker_driver

    driver = docker_driver(state, environ, emit, docker, inside)
    await driver.reap()
    return driver


def _may_be_there(environ: Mapping[str, str]) -> bool:
    """Say whether an engine is worth asking for: loading its SDK costs 0.2 s of a start."""
    named = environ.get("DOCKER_HOST") or environ.get("DOCKER_CONTEXT")
    configured = Path(environ.get("HOME", "/nonexistent"), ".docker", "config.json")
    return bool(named) or DEFAULT_SOCKET.exists() or configured.exists()
