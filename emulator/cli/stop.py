"""``fc-emu stop``."""

import os
import signal
from pathlib import Path

import click

from emulator.cli.exits import Exit, fail
from emulator.cli.options import finding
from emulator.cli.running import asked, located
from emulator.cli.waiting import until
from emulator.state import is_held

DEADLINE_S = 60.0


@click.command("stop")
@finding
@click.option("--timeout", "timeout_s", type=float, default=DEADLINE_S, show_default=True)
def command(admin: str | None, state_dir: str | None, timeout_s: float) -> None:
    """Stop the running emulator as Ctrl-C does, and wait until it is gone."""
    running = located(admin, state_dir)
    info = asked(running, "GET", "/_emulator/info")
    pid = info["pid"]
    os.kill(pid, signal.SIGTERM)
    if not until(lambda: not is_held(Path(info["state"])), timeout_s):
        fail(Exit.FUNCTION_FAILED, f"process {pid} has not ended within {timeout_s:g} s")
    click.echo(f"fc-emu (process {pid}) has stopped")
