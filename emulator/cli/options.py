"""Options that several commands share."""

from collections.abc import Callable
from typing import TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])


def finding(function: F) -> F:
    """Add the options by which a command finds the running emulator."""
    function = click.option("--admin", metavar="URL", help="Address of its admin API.")(function)
    return click.option("--state-dir", metavar="DIR", help="State folder it was started with.")(
        function
    )
