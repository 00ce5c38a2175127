"""From functions as projects describe them to functions as this run serves them."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from emulator.config import Config, ConfigError
from emulator.core.runtimes import RuntimeSpec
from emulator.engine.invoker import Account
from emulator.engine.registry import Deployment
from emulator.interpreters import NoInterpreter, Search, Wanted
from emulator.project import Project, ProjectFunction


def deploy(
    projects: Sequence[Project],
    config: Config,
    environ: Mapping[str, str],
    *,
    runtimes: Mapping[str, RuntimeSpec],
    in_images: bool,
) -> list[tuple[Deployment, Path]]:
    """Find what serves each function; give each with its code folder. Blocks: runs interpreters.

    ``in_images`` says that interpreters are those of the runtimes' images.

    Raises:
        ConfigError: ``--python`` names what is not a Python that can be used.
    """
    if in_images:
        return [
            (_in_image(function, runtimes), function.code_dir)
            for project in projects
            for function in project.functions
        ]
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


def _in_image(described: ProjectFunction, runtimes: Mapping[str, RuntimeSpec]) -> Deployment:
    function = described.function
    runtime = runtimes.get(function.runtime)
    if runtime is None:
        return _not_emulated(described, runtimes)
    return Deployment(
        function=function,
        runtime=runtime,
        interpreter=runtime.program,
        interpreter_note=f"of image {runtime.image}",
    )


def _not_emulated(described: ProjectFunction, runtimes: Mapping[str, RuntimeSpec]) -> Deployment:
    names = ", ".join(sorted(runtimes))
    text = f"runtime {described.function.runtime} is not emulated by this version ({names} are)"
    return _without(described, None, text)


def _deployment(
    described: ProjectFunction,
    runtimes: Mapping[str, RuntimeSpec],
    search: Search,
    config: Config,
) -> Deployment:
    function = described.function
    runtime = runtimes.get(function.runtime)
    if runtime is None:
        return _not_emulated(described, runtimes)
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
    deployment: Deployment, account: Account, *, endpoint: str | None, passed: Mapping[str, str]
) -> dict[str, str]:
    """Give what an instance finds in its environment besides what its driver knows.

    ``endpoint`` is where it reaches the emulator, None when it cannot.
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
        **({} if endpoint is None else {"FC_EMU_ENDPOINT": endpoint}),
    }
