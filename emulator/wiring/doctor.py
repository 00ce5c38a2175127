"""Examines a machine and a project folder: would ``start`` serve its functions here?"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from emulator.config import Config, ConfigError
from emulator.core.runtimes import RuntimeSpec
from emulator.drivers.docker import EngineError, connect, missing_image
from emulator.engine.registry import Deployment
from emulator.project import Project, ProjectError, load_project
from emulator.wiring.choosing import runtimes_of
from emulator.wiring.deployments import deploy
from emulator.wiring.doctor_checks import (
    Finding,
    Level,
    check_ports,
    check_proxies,
    check_watching,
)


@dataclass(frozen=True, slots=True)
class Images:
    """Which images the engine has; none are known of one that does not answer."""

    there: Mapping[str, bool]

    def run(self, image: str, config: Config) -> bool:
        """Say whether a start makes containers of an image: ``auto`` wants all or none."""
        match config.driver:
            case "process":
                return False
            case "docker":
                return self.there.get(image, False)
            case "auto":
                return self.there.get(image, False) and all(self.there.values())


def examine(folder: Path, config: Config, environ: Mapping[str, str]) -> list[Finding]:
    """Run every check, in the order in which a start would stumble. Blocks for seconds.

    Of the project, files are read and nothing is run but the interpreters that ``start`` asks
    for their version. Nothing is changed, pulled or kept.

    Raises:
        ConfigError: an option of the run cannot be taken.
    """
    runtimes = runtimes_of(config)
    project, about_project = _read(folder, config, environ)
    functions = project.functions if project is not None else ()
    used = {function.function.runtime for function in functions}
    images, about_docker = _ask_engine(
        config,
        environ,
        _images(spec for name, spec in runtimes.items() if not used or name in used),
    )
    return [
        about_project,
        *about_docker,
        *(_interpreters(project, config, environ, runtimes, images) if project else ()),
        *check_ports(config),
        check_proxies(environ),
        *check_watching(),
    ]


def _read(
    folder: Path, config: Config, environ: Mapping[str, str]
) -> tuple[Project | None, Finding]:
    code = (item.partition("=") for item in config.code)
    try:
        project = load_project(
            folder,
            template=Path(config.template) if config.template is not None else None,
            environ=environ,
            code={name: Path(path).absolute() for name, _, path in code},
        )
    except ProjectError as error:
        step = "correct the file"
        return None, Finding("project", "problem", str(error), error.file, step)
    source = str(project.source or project.base_dir)
    if not project.functions:
        step = "name the folder of a project: fc-emu doctor FOLDER"
        return project, Finding("project", "warning", project.looked_for, source, step)
    names = ", ".join(function.function.id for function in project.functions)
    return project, Finding("project", "ok", f"{names} ({source})", source)


def _images(specs: Iterable[RuntimeSpec]) -> dict[str, str]:
    """Give every image with the runtimes that need it, in words."""
    needed: dict[str, list[str]] = {}
    for spec in specs:
        if spec.image:
            needed.setdefault(spec.image, []).append(spec.name)
    return {image: ", ".join(names) for image, names in sorted(needed.items())}


def _ask_engine(
    config: Config, environ: Mapping[str, str], needed: Mapping[str, str]
) -> tuple[Images, list[Finding]]:
    """Ask whether an engine answers and which images it has."""
    found = []
    there = {}
    try:
        with closing(connect(environ)) as engine:
            version = engine.version()
            evidence = f"GET /version: {version}"
            text = f"{version} at {engine.address}"
            found.append(Finding("docker engine", "ok", text, evidence))
            for image, runtimes in needed.items():
                there[image] = engine.has_image(image)
                found.append(_about_image(image, runtimes, config, is_there=there[image]))
    except EngineError as error:
        found.append(_about_failure(error, config, environ))
        return Images({}), found
    return Images(there), found


def _about_failure(error: EngineError, config: Config, environ: Mapping[str, str]) -> Finding:
    """Say why the engine is of no use, and how bad that is."""
    cause = str(error.__cause__ or error)
    what, _, step = str(error).partition(": ")
    is_refused = "Permission denied" in cause
    is_asked_for = bool(environ.get("DOCKER_HOST")) or config.driver == "docker"
    if not is_refused and not is_asked_for:
        what = f"{what}; functions run as processes, isolated from nothing"
    return Finding(
        "docker socket permission" if is_refused else "docker engine",
        "problem" if is_refused or is_asked_for else "warning",
        what,
        f"{'DOCKER_HOST' if environ.get('DOCKER_HOST') else 'context or default'}: {cause}",
        step or "see what the engine says: docker info",
    )


def _about_image(image: str, runtimes: str, config: Config, *, is_there: bool) -> Finding:
    check = f"image {image}"
    evidence = f"GET /images/{image}/json: {'there' if is_there else '404'}"
    if is_there:
        return Finding(check, "ok", f"there, for {runtimes}", evidence)
    _, _, step = missing_image(image, runtimes.partition(",")[0]).partition(": ")
    level: Level = "problem" if config.driver == "docker" else "warning"
    return Finding(check, level, f"missing, for {runtimes}", evidence, step)


def _interpreters(
    project: Project,
    config: Config,
    environ: Mapping[str, str],
    runtimes: Mapping[str, RuntimeSpec],
    images: Images,
) -> Iterator[Finding]:
    """Say which Python runs the functions of each runtime as processes, as ``start`` finds it."""
    try:
        deployments = deploy([project], config, environ, runtimes=runtimes, in_images=False)
    except ConfigError as error:
        runs = all(images.run(spec.image, config) for spec in _specs(project, runtimes))
        level: Level = "warning" if runs else "problem"
        step = "name a Python that runs with --python or FC_EMU_PYTHON, or none"
        yield Finding("interpreter", level, str(error), f"python = {config.python}", step)
        return
    alike: dict[tuple[str, str, str], list[Deployment]] = {}
    for deployment, _ in deployments:
        key = (deployment.function.runtime, deployment.interpreter, deployment.cannot_run)
        alike.setdefault(key, []).append(deployment)
    for same in alike.values():
        yield _about_interpreter(same, config, images)


def _specs(project: Project, runtimes: Mapping[str, RuntimeSpec]) -> list[RuntimeSpec]:
    names = {function.function.runtime for function in project.functions}
    return [spec for name, spec in runtimes.items() if name in names]


def _about_interpreter(same: Sequence[Deployment], config: Config, images: Images) -> Finding:
    """Judge one interpreter, or its absence, for functions of one runtime."""
    first = same[0]
    check = f"interpreter for {first.function.runtime}"
    evidence = f"functions {', '.join(one.function.id for one in same)}"
    if first.runtime is None:
        step = "give the function another runtime, or expect no answers of it"
        return Finding(check, "problem", first.cannot_run, evidence, step)
    in_container = images.run(first.runtime.image, config)
    if first.cannot_run:
        what, _, step = first.cannot_run.partition(" with: ")
        if in_container:
            return Finding(check, "warning", f"{what}: they run in containers only", evidence, step)
        if config.driver != "process" and not images.there.get(first.runtime.image, False):
            step += f"; or run them in containers: fc-emu images pull {first.runtime.name}"
        return Finding(check, "problem", what, evidence, step)
    found = f"{first.interpreter} ({first.interpreter_note})"
    notices = "; ".join(note for one in same for note in one.notices)
    if not notices or in_container:
        return Finding(check, "ok", found, evidence)
    version = first.runtime.version
    step = f"make a .venv with Python {version}".rstrip() + " in the project, or name one with "
    return Finding(check, "warning", f"{found}: {notices}", evidence, f"{step}--python")
