"""What the documents say about the code is so."""

import re
from pathlib import Path

import click

import emulator
from emulator.cli import COMMANDS
from emulator.cli.start import command as start
from emulator.config import Config
from emulator.core.errors import STATUS, ErrorCode

PACKAGE = Path(emulator.__file__).parent
CHECKOUT = Path(__file__).parents[2]


def test_every_module_that_the_structure_names_exists() -> None:
    """Rows of the table "Where is …?", and paths in the text."""
    text = (PACKAGE / "README.md").read_text("utf-8")
    named = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", text))

    assert len(named) > 20
    assert {name for name in named if not (PACKAGE / name).is_file()} == set()


def test_every_part_of_the_package_is_in_the_layers() -> None:
    """A newcomer finds each folder and module of the top level in the picture."""
    text = (PACKAGE / "README.md").read_text("utf-8")
    parts = {
        path.stem
        for path in PACKAGE.iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").is_file()) and path.stem != "__init__"
    }

    assert len(parts) > 20
    assert {part for part in parts if not re.search(rf"\b{part}\b", text)} == set()


def test_every_command_is_in_the_readme() -> None:
    """And every one of them can be run."""
    text = (CHECKOUT / "README.md").read_text("utf-8")

    assert {name for name in COMMANDS if f"`fc-emu {name}" not in text} == set()


def test_every_option_of_a_run_has_a_flag_and_every_flag_an_option() -> None:
    """What can be written in fc-emu.toml can be said on the command line, and the reverse."""
    flags = {parameter.name for parameter in start.params if isinstance(parameter, click.Option)}

    assert flags - {"variables"} == set(Config.__struct_fields__)


def test_every_error_code_has_a_status() -> None:
    """A code without one could not be answered."""
    assert set(STATUS) == set(ErrorCode)
