"""Reads ``runtimes/*/runtime.toml`` into RuntimeSpec."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from emulator.core.runtimes import RuntimeSpec

_HERE = Path(__file__).parent


class _Named(msgspec.Struct, forbid_unknown_fields=True):
    """What one runtime name of a family has of its own."""

    version: str
    image: str = ""


class _Family(msgspec.Struct, forbid_unknown_fields=True):
    """A ``runtime.toml``."""

    family: str
    argv: tuple[str, ...]
    runtimes: dict[str, _Named]
    bootstrap: str = ""
    program: str = ""
    handler_files: tuple[str, ...] = ()
    env: dict[str, str] = {}


class BadRuntime(Exception):
    """A ``runtime.toml`` that cannot be used; the text names file and key."""


def shipped(folder: str) -> Path:
    """Give ``runtimes`` or ``samples``: inside the installed package, else beside a checkout's."""
    installed = _HERE / f"_{folder}"
    return installed if installed.is_dir() else _HERE.parent / folder


def load_runtimes(folder: Path) -> dict[str, RuntimeSpec]:
    """Read every runtime below ``folder``, by name.

    Raises:
        BadRuntime: a file is not TOML or does not fit; two folders claim one name.
    """
    found: dict[str, RuntimeSpec] = {}
    for path in sorted(folder.glob("*/runtime.toml")):
        for spec in _read(path):
            if spec.name in found:
                raise BadRuntime(f"{path}: runtime {spec.name} is defined twice")
            found[spec.name] = spec
    return found


def _read(path: Path) -> list[RuntimeSpec]:
    try:
        data: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        family = msgspec.convert(data, _Family)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise BadRuntime(f"{path}: {error}") from error
    bootstrap = str((path.parent / family.bootstrap).resolve()) if family.bootstrap else ""
    return [
        RuntimeSpec(
            name=name,
            family=family.family,
            version=named.version,
            argv=family.argv,
            env=dict(family.env),
            bootstrap=bootstrap,
            image=named.image,
            program=family.program,
            handler_files=family.handler_files,
        )
        for name, named in family.runtimes.items()
    ]
