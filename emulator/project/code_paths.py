"""Which folder of this machine a project may name as its code."""

from pathlib import Path

from emulator.project.files import exists, is_folder

REMOTE = ("http://", "https://", "oss://")
"""How code starts that is not on this machine."""

_ARCHIVES = (".zip", ".jar", ".war")


def allowed_root(base_dir: Path) -> Path:
    """Give the folder that code paths may not leave.

    It is the git work tree around ``base_dir``, which is absolute and without links; outside git
    the folder above it. The root of the file system is neither.
    """
    for folder in (base_dir, *base_dir.parents):
        if exists(folder / ".git") and folder != folder.parent:
            return folder
    above = base_dir.parent
    return base_dir if above == above.parent else above


def path_inside(text: str, base_dir: Path) -> Path | None:
    """Resolve a path of the project file; None when it leaves ``allowed_root``.

    Links count where they lead. A home folder (``~``) is never inside. The path need not exist.
    """
    if text == "~" or text.startswith("~/"):
        return None
    path = resolved(base_dir / text)
    if path is None or not path.is_relative_to(allowed_root(base_dir)):
        return None
    return path


def resolved(path: Path) -> Path | None:
    """Make a path absolute and free of links; None when it cannot be one."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return None


def unsupported_kind(text: str, path: Path) -> str | None:
    """Say what code is when it is no folder; None for a folder and for what is missing."""
    if text.startswith(REMOTE):
        return "an object in OSS" if text.startswith("oss:") else "a URL"
    if is_folder(path):
        return None
    if text.lower().endswith(_ARCHIVES):
        return "an archive"
    return "a file" if exists(path) else None
