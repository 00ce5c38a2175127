"""What the emulator knows about a runtime, as read from ``runtimes/*/runtime.toml``."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeSpec:
    """One runtime name. A new one is a folder under ``runtimes/``, not code.

    ``bootstrap`` is the absolute path of its single file, "" when it has none.
    ``image`` is what its containers are made from, ``program`` the interpreter in it.
    ``argv`` may hold ``{interpreter}``, ``{bootstrap}`` and ``{code}``, filled by the driver.
    ``handler_files`` are paths below the code folder where a handler's own module may be, with
    ``{module}`` for the handler without its last part, dots as slashes; the first that exists.
    """

    name: str
    family: str
    version: str
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    bootstrap: str
    image: str
    program: str = ""
    handler_files: tuple[str, ...]


def handler_paths(runtime: RuntimeSpec, handler: str) -> tuple[str, ...]:
    """Say where the handler's own module may be, relative to the code folder."""
    module, _, _ = handler.rpartition(".")
    folder, slash, name = module.rpartition("/")
    path = f"{folder}{slash}{name.replace('.', '/')}"
    return tuple(template.replace("{module}", path) for template in runtime.handler_files)
