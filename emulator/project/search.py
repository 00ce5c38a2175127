"""Project files that are not where they are looked for."""

import re
from pathlib import Path

from emulator.project.files import entries, is_file, subfolders
from emulator.project.recognise import SERVERLESS_DEVS

MAX_FOLDERS = 200
"""Folders that are looked into. Ours: a mistaken start in a home folder ends soon."""

MAX_FOUND = 5
"""Files that are named. Ours."""

_NAME = re.compile(r"s(?:\d|[.-][\w.-]+)?\.ya?ml", re.ASCII)


def files_elsewhere(folder: Path) -> list[str]:
    """List what may be Serverless Devs files: named otherwise, or one or two levels down."""
    below = list(subfolders(folder))[:MAX_FOLDERS]
    lower = [inner for outer in below for inner in subfolders(outer)][:MAX_FOLDERS]
    read = [folder / name for name in SERVERLESS_DEVS]
    return [
        path.relative_to(folder).as_posix()
        for place in (folder, *below, *lower)
        for path in entries(place)
        if _NAME.fullmatch(path.name) and path not in read and is_file(path)
    ][:MAX_FOUND]
