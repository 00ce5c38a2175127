"""The functions there are, by name."""

from dataclasses import dataclass

from emulator.core.errors import (
    ApiError,
    function_not_found,
    qualifier_not_found,
    service_not_found,
)
from emulator.core.refs import DEFAULT_SERVICE, LATEST, FunctionRef
from emulator.core.resources import Function
from emulator.core.runtimes import RuntimeSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A function and what this run found out about how to serve it.

    ``runtime`` is None when its runtime is not emulated; ``interpreter`` is "" when nothing on
    this machine runs it. ``cannot_run`` then says so, in a sentence for its caller.
    ``interpreter_note`` says its version and where it was found.
    """

    function: Function
    runtime: RuntimeSpec | None
    interpreter: str
    interpreter_note: str = ""
    cannot_run: str = ""
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """A deployment as it was named by a caller."""

    ref: FunctionRef
    deployment: Deployment

    @property
    def function(self) -> Function:
        """The function's configuration."""
        return self.deployment.function


class Registry:
    """Functions of project files, all without a service: they are found under any service name,
    so that programs written for FC 2.0 paths reach them."""

    def __init__(self) -> None:
        self._deployments: dict[str, Deployment] = {}

    def add(self, deployment: Deployment) -> None:
        """Let a function be found.

        Raises:
            ValueError: its id is taken.
        """
        if deployment.function.id in self._deployments:
            raise ValueError(f"function {deployment.function.id} exists already")
        self._deployments[deployment.function.id] = deployment

    def deployments(self) -> list[Deployment]:
        """Give all functions in the order in which they were added."""
        return list(self._deployments.values())

    def resolve(self, ref: FunctionRef) -> Target:
        """Find what a caller named: the service first, then the qualifier, then the function.

        Raises:
            ApiError: ServiceNotFound, VersionNotFound, AliasNotFound or FunctionNotFound.
        """
        if not self._has_service(ref.service):
            raise service_not_found(ref.service)
        if ref.qualifier != LATEST:
            raise qualifier_not_found(ref.qualifier, ref.service)
        deployment = self._deployments.get(ref.function)
        if deployment is None:
            raise function_not_found(ref.function, ref.service)
        return Target(ref, deployment)

    def _has_service(self, service: str) -> bool:
        """Any name will do while there are functions without a service."""
        return service == DEFAULT_SERVICE or bool(self._deployments)


def find(registry: Registry, function_id: str) -> Deployment | None:
    """Give a function by its id, ``NAME`` or ``default/NAME``; None when there is none."""
    service, slash, name = function_id.rpartition("/")
    try:
        ref = FunctionRef(service if slash else DEFAULT_SERVICE, name)
        return registry.resolve(ref).deployment
    except ApiError:
        return None
