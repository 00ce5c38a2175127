"""Resource records: one class for store and wire, keys in the JSON spelling of the API."""

import msgspec

from emulator.core.refs import DEFAULT_SERVICE


class Function(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A function's configuration. Source: API 2016-08-15, CreateFunction.

    ``service_name`` is None for functions of an FC 3.0 project and detected ones.
    ``timeout`` is in seconds, ``memory_size`` in MB.
    """

    function_name: str
    service_name: str | None = None
    runtime: str
    handler: str
    timeout: int
    memory_size: int
    environment_variables: dict[str, str] = {}
    description: str = ""

    @property
    def id(self) -> str:
        """The name by which people and the admin API know it."""
        if self.service_name is None:
            return self.function_name
        return f"{self.service_name}/{self.function_name}"

    @property
    def shown_service(self) -> str:
        """The service under which the API shows it."""
        return self.service_name or DEFAULT_SERVICE
