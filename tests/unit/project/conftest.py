from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emulator.project import Project, load_project

HEAD = """\
edition: 3.0.0
name: demo
resources:
  api:
    component: fc3
    props:
      functionName: hello
      runtime: python3.10
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make an empty project in a git work tree of its own."""
    home = tmp_path / "demo"
    (home / ".git").mkdir(parents=True)
    return home


@pytest.fixture
def load(folder: Path) -> Callable[..., Project]:
    """Load the project with this text, or these bytes, as its s.yaml."""

    def from_text(text: str | bytes, **options: Any) -> Project:
        (folder / "s.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
        return load_project(folder, **{"environ": {}, **options})

    return from_text


@pytest.fixture
def load_props(load: Callable[..., Project]) -> Callable[..., Project]:
    """Load a project with one function, hello, in block api.

    The lines are added to its props, the first of them as line 9 of the file.
    """

    def from_props(lines: str, **options: Any) -> Project:
        indented = "".join(f"      {line}\n" for line in lines.splitlines())
        return load(f"{HEAD}{indented}", **options)

    return from_props
