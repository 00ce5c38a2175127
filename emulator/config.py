"""The options of a run: defaults, then ``fc-emu.toml``, then the environment, then flags."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from emulator.core.limits import DEFAULT_GRACE_S, DEFAULT_IDLE_TIMEOUT_S, DEFAULT_MAX_INSTANCES

CONFIG_FILE = "fc-emu.toml"
ENVIRONMENT_PREFIX = "FC_EMU_"
DEFAULT_PORT = 3200
DEFAULT_ADMIN_PORT = 3201


class ConfigError(Exception):
    """An option that cannot be taken; the text says where it came from and what is wrong."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a run was asked to be. Lengths in seconds. Source: contract of the command line."""

    template: str | None = None
    sample: str | None = None
    code: tuple[str, ...] = ()
    port: int = DEFAULT_PORT
    admin_port: int = DEFAULT_ADMIN_PORT
    allow_host: tuple[str, ...] = ()
    allow_origin: tuple[str, ...] = ()
    driver: Literal["auto", "docker", "process"] = "auto"
    image: tuple[str, ...] = ()
    registry: str | None = None
    python: str | None = None
    idle_timeout: float = DEFAULT_IDLE_TIMEOUT_S
    max_instances: int = DEFAULT_MAX_INSTANCES
    pass_env: tuple[str, ...] = ()
    no_watch: bool = False
    poll: bool = False
    state_dir: str | None = None
    account_id: str = "123456789012"
    region: str | None = None
    ready_file: str | None = None
    grace: float = DEFAULT_GRACE_S
    json: bool = False
    quiet: bool = False
    verbose: bool = False


@dataclass(frozen=True, slots=True)
class _Range:
    lowest: float
    highest: float


_RANGES = {
    "port": _Range(0, 65_535),
    "admin_port": _Range(0, 65_535),
    "idle_timeout": _Range(0.1, 86_400),
    "max_instances": _Range(1, 1_000),
    "grace": _Range(0, 86_400),
}

NAMES = frozenset(Config.__struct_fields__)


def load(
    file_text: str | None, environ: Mapping[str, str], overrides: Mapping[str, object]
) -> Config:
    """Put the layers together; pure. ``overrides`` holds only what was given as flags.

    Raises:
        ConfigError: an unknown key of the file, or a value that does not fit.
    """
    values: dict[str, object] = {}
    for origin, layer in (
        (CONFIG_FILE, _from_file(file_text)),
        ("environment", _from_environment(environ)),
        ("command line", dict(overrides)),
    ):
        for name, value in layer.items():
            values[name] = _checked(origin, name, value)
    return msgspec.convert(values, Config)


def read_config_file(folder: Path) -> str | None:
    """Give the text of a folder's ``fc-emu.toml``; None when there is none.

    Raises:
        ConfigError: it cannot be read.
    """
    path = folder / CONFIG_FILE
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _from_file(text: str | None) -> dict[str, object]:
    try:
        values = tomllib.loads(text or "")
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{CONFIG_FILE}: {error}") from error
    for name in values:
        if name not in NAMES:
            close = difflib.get_close_matches(name, NAMES, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigError(f"{CONFIG_FILE}: there is no option '{name}'{hint}")
    return values


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    """Take ``FC_EMU_<OPTION>``; an empty value counts as absent, other names are not ours."""
    found: dict[str, object] = {}
    for name in NAMES:
        text = environ.get(ENVIRONMENT_PREFIX + name.upper(), "")
        if text:
            found[name] = (
                text.split(",") if Config.__annotations__[name] == tuple[str, ...] else text
            )
    return found


def _checked(origin: str, name: str, value: object) -> object:
    """Convert one value; text becomes what the option needs."""
    wanted = Config.__annotations__[name]
    try:
        converted = msgspec.convert(value, wanted, strict=isinstance(value, str) is False)
    except msgspec.ValidationError as error:
        text = f"{origin}: {name.replace('_', '-')} cannot be {value!r}: {error}"
        raise ConfigError(text) from error
    limits = _RANGES.get(name)
    if limits is not None and not limits.lowest <= converted <= limits.highest:
        raise ConfigError(
            f"{origin}: {name.replace('_', '-')} is {limits.lowest:g} to {limits.highest:g}, "
            f"not {value}"
        )
    return converted
