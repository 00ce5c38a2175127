"""Exit codes and the one line that goes with each. Source: contract of the command line."""

from enum import IntEnum
from typing import NoReturn

import click


class Exit(IntEnum):
    """What a command ends with."""

    DONE = 0
    FUNCTION_FAILED = 1
    USAGE = 2
    PORT_BUSY = 3
    STATE_LOCKED = 4
    STATE_DAMAGED = 5
    NO_DRIVER = 6
    NOT_WRITABLE = 7
    NO_EMULATOR = 8
    FORCED = 130


def fail(code: Exit, message: str) -> NoReturn:
    """End the command with one line on standard error."""
    click.echo(f"fc-emu: {message}", err=True)
    raise SystemExit(int(code))
