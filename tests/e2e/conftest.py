"""Emulators as child processes, each with a home of its own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.emulator_process import Emulator, started

Starter = Callable[..., Emulator]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder for the emulator, where its state goes."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty project folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def start(home: Path) -> Iterator[Starter]:
    """Start emulators in folders; all are ended with the test, and none wrote a traceback."""
    emulators: list[Emulator] = []
    with ExitStack() as stack:

        def starter(folder: Path, *words: str, **options: object) -> Emulator:
            emulator = stack.enter_context(started(folder, *words, home=home, **options))  # type: ignore[arg-type] # passed on
            emulators.append(emulator)
            return emulator

        yield starter
    for emulator in emulators:
        assert "fc-emu has a bug" not in emulator.stderr(), emulator.stderr()
        assert "Traceback" not in emulator.stderr(), emulator.stderr()
