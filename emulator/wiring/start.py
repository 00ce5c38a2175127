"""From what the command line says to a running emulator, and back to an exit code."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from emulator.config import Config, ConfigError
from emulator.engine.events import EventBus
from emulator.log import EventLog, LineWriter, Style, set_up_logging
from emulator.project import Project, ProjectError, load_project
from emulator.specs import shipped
from emulator.state import default_state_dir, open_state
from emulator.wiring.announce import Plan
from emulator.wiring.choosing import choose_driver, runtimes_of
from emulator.wiring.emulator import Emulator


@dataclass(frozen=True, slots=True)
class Start:
    """A run as it was asked for. ``variables`` are of the form FUNCTION.KEY=VALUE."""

    config: Config
    folders: Sequence[Path]
    variables: Sequence[str]
    environ: Mapping[str, str]


def start(asked: Start) -> int:
    """Run an emulator until it is told to stop; give the exit code.

    Raises:
        ConfigError, ProjectError, StateLocked, StateDamaged, StateUnusable, PortTaken, NoDriver:
            it cannot start; nothing is left running.
    """
    if HttpRequestParser is HttpRequestParserPy:
        raise ConfigError(
            "aiohttp runs without its C parser, whose strictness fc-emu relies on; "
            "reinstall aiohttp from a wheel and unset AIOHTTP_NO_EXTENSIONS"
        )
    config = asked.config
    folders = [_sample(config.sample)] if config.sample is not None else list(asked.folders)
    projects = _load(folders, asked)
    runtimes = runtimes_of(config)
    driver = choose_driver(config, asked.environ, projects, runtimes)
    chosen = Path(config.state_dir).absolute() if config.state_dir is not None else None
    for project in projects:
        for deployed in project.functions:
            if chosen is not None and chosen.is_relative_to(deployed.code_dir):
                raise ConfigError(
                    f"--state-dir {chosen} lies inside the code of {deployed.function.id} "
                    f"({deployed.code_dir}); choose a folder outside"
                )
    state = open_state(chosen or default_state_dir(folders[0], asked.environ))
    try:
        lines = LineWriter(sys.stdout, sys.stderr)
        try:
            style = Style(
                json_lines=config.json,
                quiet=config.quiet,
                verbose=config.verbose,
                colour=sys.stderr.isatty() and not asked.environ.get("NO_COLOR"),
            )
            set_up_logging(lines, verbose=config.verbose)
            bus = EventBus()
            bus.subscribe(EventLog(lines, style))
            plan = Plan(
                config=config,
                projects=projects,
                state=state,
                driver=driver,
                runtimes=runtimes,
                environ=asked.environ,
            )
            return asyncio.run(Emulator(plan, bus, lines).run())
        finally:
            lines.close()
    finally:
        state.release()


def _sample(name: str) -> Path:
    """Find a sample of ours by name."""
    folder = shipped("samples")
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if name not in names:
        raise ConfigError(f"there is no sample '{name}'; there are: {', '.join(names)}")
    return folder / name


def _load(folders: Sequence[Path], asked: Start) -> list[Project]:
    """Read every project folder; ids must differ, in any spelling of case."""
    code = dict(_split(item, "--code", "FUNCTION=PATH") for item in asked.config.code)
    variables = {}
    for item in asked.variables:
        name, value = _split(item, "-e", "FUNCTION.KEY=VALUE")
        owner, dot, key = name.rpartition(".")
        if not dot or not owner or not key:
            raise ConfigError(f"-e takes FUNCTION.KEY=VALUE, not {item!r}")
        variables[owner, key] = value
    if len(folders) > 1 and (code or variables or asked.config.template is not None):
        raise ConfigError("--template, --code and -e go with one folder")
    template = asked.config.template
    projects = [
        load_project(
            folder,
            template=Path(template) if template is not None else None,
            environ=asked.environ,
            code={name: Path(path).absolute() for name, path in code.items()},
            extra_env=variables,
        )
        for folder in folders
    ]
    seen: dict[str, Path] = {}
    for project in projects:
        for function in project.functions:
            name = function.function.id.lower()
            if name in seen:
                raise ProjectError(
                    str(project.source or project.base_dir),
                    None,
                    f"function {function.function.id} is defined in {seen[name]} as well; "
                    "start the folders as two emulators, or rename one",
                )
            seen[name] = project.source or project.base_dir
    return projects


def _split(item: str, option: str, form: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals or not name:
        raise ConfigError(f"{option} takes {form}, not {item!r}")
    return name, value
