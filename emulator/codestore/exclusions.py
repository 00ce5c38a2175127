"""What in a code folder is no part of a code version, by name alone.

The scan of a folder and the watcher ask here, so that both mean the same by "a change".
"""

import re

IGNORED_NAMES = frozenset(
    {".git", ".hg", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".svn", "__pycache__"}
)
"""Never in a version: version control and caches. Ours; a deployed package has none of them.

Mostly folders, but ``.git`` of a submodule is a file.
"""

_IGNORED_FILES = re.compile(r"4913|\.#.*|\.DS_Store|.*~|.*\.sw[nopx]|.*___jb_(old|tmp)___")
"""What editors leave while they save: vim (4913, swap files), Emacs, JetBrains; and Finder."""

_DEPENDENCIES = frozenset({".venv", "node_modules", "site-packages", "venv"})
"""Folders that installers fill, wherever they stand."""

_TOP_DEPENDENCIES = frozenset({".s/python", "vendor"})
"""The same at the top of the code folder only: deeper down, ``vendor`` may be a user's own name."""

_TELLING_PARTS = IGNORED_NAMES.union(_DEPENDENCIES, *(p.split("/") for p in _TOP_DEPENDENCIES))


def is_ignored_file(name: str) -> bool:
    """Say whether a file or link called ``name`` is left out of a version altogether."""
    return name in IGNORED_NAMES or _IGNORED_FILES.fullmatch(name) is not None


def is_dependency(path: str) -> bool:
    """Say whether a folder at ``path``, relative to the code folder, is linked, not copied."""
    return path in _TOP_DEPENDENCIES or path.rpartition("/")[2] in _DEPENDENCIES


def counts(root: str, path: str) -> bool:
    """Say whether a change at ``path`` can change the version of the code folder ``root``.

    A change inside a dependency folder cannot; that one appears or goes can. Both are absolute.
    """
    if path == root:
        return True
    if not path.startswith(f"{root}/"):
        return False
    *above, name = path[len(root) + 1 :].split("/")
    if is_ignored_file(name):
        return False
    # Nearly every path ends here, and a watcher that polls asks for each file each time.
    if _TELLING_PARTS.isdisjoint(above):
        return True
    return not any(
        part in IGNORED_NAMES or is_dependency("/".join(above[:depth]))
        for depth, part in enumerate(above, start=1)
    )
