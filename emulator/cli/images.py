"""``fc-emu images``."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from emulator.cli.exits import Exit, fail

if TYPE_CHECKING:
    from emulator.drivers.docker import DockerEngine
    from emulator.drivers.images import Progress

F = TypeVar("F", bound=Callable[..., object])

COLUMNS = ("RUNTIME", "SIZE", "IMAGE")


def _naming(function: F) -> F:
    """Add the options that decide which image a runtime has."""
    function = click.option(
        "--image", multiple=True, metavar="RUNTIME=IMAGE", help="Take this image for a runtime."
    )(function)
    return click.option(
        "--registry", metavar="PREFIX", help="Put this in front of the names of images."
    )(function)


def _choosing(function: F) -> F:
    """Add the runtimes, and the option that stands for all of them."""
    function = click.argument("runtimes", nargs=-1, metavar="[RUNTIME]...")(function)
    return click.option("--all", "every", is_flag=True, help="Every runtime.")(function)


@click.group("images")
def command() -> None:
    """Get the images that runtimes run in, from a registry or from a file.

    Which image a runtime has is said by --image and --registry, here as for start, or by
    fc-emu.toml in this folder, or by FC_EMU_IMAGE and FC_EMU_REGISTRY.

    \b
    Exit codes: 0 done  1 it failed  2 options or fc-emu.toml  6 no Docker engine
                7 not writable
    """


@command.command("list")
@_naming
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_(registry: str | None, image: tuple[str, ...], *, as_json: bool) -> None:
    """List each runtime's image, and whether the engine has it."""
    images = _images(registry, image)
    with _engine() as engine:
        sizes = {name: engine.image_size(name) if name else None for name in images.values()}
    if as_json:
        items = [
            {
                "runtime": runtime,
                "image": name or None,
                "present": sizes[name] is not None,
                "sizeBytes": sizes[name],
            }
            for runtime, name in images.items()
        ]
        click.echo(json.dumps({"items": items}, ensure_ascii=False))
        return
    rows = [COLUMNS, *((r, _shown(sizes[name]), name or "-") for r, name in images.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


@command.command("pull")
@_choosing
@_naming
@click.option(
    "--deadline",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    show_default=True,
    metavar="S",
    help="Give up when not all is there by then.",
)
def pull(
    runtimes: tuple[str, ...],
    registry: str | None,
    image: tuple[str, ...],
    *,
    every: bool,
    deadline: float,
) -> None:
    """Pull the images of runtimes from their registry."""
    wanted = _wanted(_images(registry, image), runtimes, every=every)
    said = -1

    def tell(progress: "Progress") -> None:
        nonlocal said
        if progress.fetched != said:
            said = progress.fetched
            click.echo(f"{progress.image}: {said:,} bytes", err=True)

    with _engine() as engine:
        from emulator.drivers import images

        fetched = images.pull(engine, wanted, deadline, tell)
    click.echo(f"{', '.join(wanted)}: pulled, {fetched:,} bytes in all", err=True)


@command.command("save")
@_choosing
@_naming
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to; a file that is there is replaced.",
)
def save(
    runtimes: tuple[str, ...],
    registry: str | None,
    image: tuple[str, ...],
    *,
    every: bool,
    output: Path,
) -> None:
    """Write the images of runtimes into a file."""
    wanted = _wanted(_images(registry, image), runtimes, every=every)
    target = output.absolute().resolve()
    if target.exists() and not target.is_file():
        fail(Exit.USAGE, f"{output} is no ordinary file, and would be replaced by one")
    with _engine() as engine:
        from emulator.drivers import images

        try:
            size = images.save(engine, wanted, target)
        except OSError as error:
            fail(Exit.NOT_WRITABLE, f"{output} cannot be written: {error.strerror or error}")
    click.echo(f"{output}: {', '.join(wanted)}, {size:,} bytes", err=True)


@command.command("load")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def load(file: Path) -> None:
    """Give the engine the images of a file, and print their names."""
    with _engine() as engine:
        from emulator.drivers import images

        try:
            names = images.load(engine, file)
        except OSError as error:
            fail(Exit.USAGE, f"{file} cannot be read: {error.strerror or error}")
    for name in names:
        click.echo(name)


@contextmanager
def _engine() -> "Iterator[DockerEngine]":
    """Give the engine; what goes wrong with it or an image ends the command."""
    from emulator.drivers.docker import EngineError, EngineGone, connect
    from emulator.drivers.images import ImageProblem
    from emulator.project.model import one_line

    try:
        engine = connect(os.environ)
        try:
            yield engine
        finally:
            engine.close()
    except EngineGone as error:
        fail(Exit.NO_DRIVER, one_line(str(error)))
    except (EngineError, ImageProblem) as error:
        fail(Exit.FUNCTION_FAILED, one_line(str(error)))


def _images(registry: str | None, image: tuple[str, ...]) -> dict[str, str]:
    """Give each runtime's image, "" for one that has none."""
    from emulator import config as configs
    from emulator.wiring.choosing import runtimes_of

    options = {"registry": registry, "image": image}
    given = {name: value for name, value in options.items() if value}
    try:
        config = configs.load(configs.read_config_file(Path.cwd()), os.environ, given)
        return {name: spec.image for name, spec in sorted(runtimes_of(config).items())}
    except configs.ConfigError as error:
        fail(Exit.USAGE, str(error))


def _wanted(images: dict[str, str], runtimes: tuple[str, ...], *, every: bool) -> list[str]:
    """Give the images of the runtimes that were named, each once."""
    there_are = f"there are {', '.join(images)}"
    if every == bool(runtimes):
        fail(Exit.USAGE, f"name runtimes, or all of them with --all: {there_are}")
    for runtime in runtimes:
        if runtime not in images:
            fail(Exit.USAGE, f"there is no runtime '{runtime}': {there_are}")
        if not images[runtime]:
            fail(Exit.USAGE, f"{runtime} has no image: name one with --image {runtime}=IMAGE")
    chosen = (images[runtime] for runtime in runtimes or images)
    return list(dict.fromkeys(image for image in chosen if image))


def _shown(size: int | None) -> str:
    return "missing" if size is None else f"{size / 1e6:,.1f} MB"
