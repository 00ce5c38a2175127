"""From functions as projects describe them to functions as this run serves them."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emulator.config import Config, ConfigError
from emulator.core.runtimes import RuntimeSpec
from emulator.engine.invoker import Account
from emulator.engine.registry import Deployment
from emulator.interpreters import NoInterpreter, Search, Wanted
from emulator.project import Project, ProjectFunction
from emulator.specs import load_runtimes, shipped


class NoDriver(Exception):
    """Nothing here can run instances in the way that was asked for."""


@dataclass(frozen=True, slots=True)
class DriverChoice:
    """The one driver of a run, and why it is this one."""

    name: str
    why: str


def choose_driver(asked: Literal["auto", "docker", "process"]) -> DriverChoice:
    """Pick the driver of the whole run.

    Raises:
        NoDriver: it was asked for and is not there.
    """
    if asked == "docker":
        raise NoDriver(
            "the docker driver is not in this version of fc-emu; --driver process runs functions "
            "as processes, which isolates nothing"
        )
    return DriverChoice("process", "functions run as your own processes, isolated from nothing")


def deploy(
    projects: Sequence[Project], config: Config, environ: Mapping[str, str]
) -> list[tuple[Deployment, Path]]:
    """Find what serves each function; give each with its code folder. Blocks: runs interpreters.

    Raises:
        ConfigError: ``--python`` names what is not a Python that can be used.
    """
    runtimes = load_runtimes(shipped("runtimes"))
    return [
        (_deployment(function, runtimes, search, config), function.code_dir)
        for project in projects
        for search in (_search(project, config, environ),)
        for function in project.functions
    ]


def _search(project: Project, config: Config, environ: Mapping[str, str]) -> Search:
    return Search(
        project.base_dir,
        python=Path(config.python) if config.python is not None else None,
        environ=environ,
        own_prefix=sys.prefix,
        own_base_prefix=sys.base_prefix,
    )


def _deployment(
    described: ProjectFunction,
    runtimes: Mapping[str, RuntimeSpec],
    search: Search,
    config: Config,
) -> Deployment:
    function = described.function
    runtime = runtimes.get(function.runtime)
    if runtime is None:
        names = ", ".join(sorted(runtimes))
        text = f"runtime {function.runtime} is not emulated by this version ({names} are)"
        return _without(described, None, text)
    try:
        found = search.find(Wanted(runtime.version or None, described.code_dir))
    except NoInterpreter as error:
        if config.python is not None:
            raise ConfigError(str(error)) from error
        return _without(described, runtime, str(error))
    return Deployment(
        function=function,
        runtime=runtime,
        interpreter=str(found.path),
        interpreter_note=f"{found.version}, {found.origin}",
        notices=found.notices,
    )


def _without(described: ProjectFunction, runtime: RuntimeSpec | None, why: str) -> Deployment:
    return Deployment(
        function=described.function,
        runtime=runtime,
        interpreter="",
        cannot_run=why,
        notices=(why,),
    )


def instance_environment(
    deployment: Deployment, account: Account, *, endpoint: str, passed: Mapping[str, str]
) -> dict[str, str]:
    """Give what an instance finds in its environment besides what its driver knows.

    The function's own variables win over those that are passed on. ``local`` is what the
    vendor's local tools set, and what projects test for. Source: runtime contract, 3.2.
    """
    function = deployment.function
    return {
        "local": "true",
        **passed,
        **function.environment_variables,
        "FC_FUNCTION_NAME": function.function_name,
        "FC_FUNCTION_HANDLER": function.handler,
        "FC_FUNCTION_MEMORY_SIZE": str(function.memory_size),
        "FC_REGION": account.region,
        "FC_ACCOUNT_ID": account.account_id,
        "FC_EMU_ENDPOINT": endpoint,
    }
