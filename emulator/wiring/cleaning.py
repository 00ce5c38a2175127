"""Removing what dead runs left, and nothing else."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.drivers.helper import end_tagged, find_tagged
from emulator.state import (
    StateDamaged,
    StateLocked,
    StateUnusable,
    default_state_dir,
    open_state,
    runtime_dir,
)

if TYPE_CHECKING:
    from emulator.drivers.docker import DockerEngine


@dataclass(frozen=True, slots=True)
class Removed:
    """What one state's dead runs had left; ``unended`` processes would not end."""

    state: Path
    containers: int
    processes: int
    folders: int
    unended: tuple[int, ...]


def clean(environ: Mapping[str, str], state_dir: Path | None) -> tuple[list[Removed], list[str]]:
    """Clean after every state of this user, or after one; give what was removed, and remarks.

    A state that an emulator holds is left alone. Known by its uuid, and only so, is what it made.
    Blocks.
    """
    states = [state_dir] if state_dir is not None else _states(environ)
    engine, remarks = _engine(environ)
    removed = []
    for path in states:
        if not (path / "uuid").is_file():
            remarks.append(f"{path} is no state folder: it holds no uuid")
            continue
        try:
            state = open_state(path)
        except StateLocked as error:
            remarks.append(f"left alone: {error}")
            continue
        except (StateDamaged, StateUnusable) as error:
            remarks.append(str(error))
            continue
        try:
            containers = engine.remove_labelled(state.uuid) if engine is not None else []
            found = find_tagged(state.uuid)
            unended = tuple(end_tagged(state.uuid))
            folders = [
                folder
                for folder in (runtime_dir(state.path, environ), state.path / "tmp")
                if folder.is_dir()
            ]
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            state.release()
        one = Removed(path, len(containers), len(found), len(folders), unended)
        if containers or found or folders:
            removed.append(one)
    if engine is not None:
        engine.close()
    return removed, remarks


def _states(environ: Mapping[str, str]) -> list[Path]:
    base = default_state_dir(Path("/"), environ).parent
    return sorted(path.parent for path in base.glob("*/uuid"))


def _engine(environ: Mapping[str, str]) -> "tuple[DockerEngine | None, list[str]]":
    from emulator.drivers.docker import EngineError, connect

    try:
        return connect(environ), []
    except EngineError as error:
        return None, [f"containers were not looked for: {error}"]
