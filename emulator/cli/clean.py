"""``fc-emu clean``."""

import os
from pathlib import Path

import click

from emulator.cli.exits import Exit, fail


@click.command("clean")
@click.option("--state-dir", metavar="DIR", help="Clean after this state only.")
def command(state_dir: str | None) -> None:
    """Remove what dead runs left: containers, networks, processes, sockets; nothing else.

    A running emulator and what belongs to it are left alone, and so is the state of dead ones:
    code versions and what was accepted.
    """
    from emulator.wiring.cleaning import clean

    chosen = Path(state_dir).absolute() if state_dir is not None else None
    removed, remarks = clean(dict(os.environ), chosen)
    for remark in remarks:
        click.echo(remark, err=True)
    for one in removed:
        click.echo(
            f"{one.state}: removed {one.containers} containers, {one.processes} processes, "
            f"{one.folders} folders"
        )
    if not removed:
        click.echo("nothing was left")
    stubborn = [pid for one in removed for pid in one.unended]
    if stubborn:
        fail(Exit.FUNCTION_FAILED, f"these processes would not end: {stubborn}")
