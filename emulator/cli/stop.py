"""``fc-emu stop``."""

import os
import signal

import click

from emulator.cli.exits import Exit, fail
from emulator.cli.options import finding
from emulator.cli.running import asked, located
from emulator.cli.waiting import until

DEADLINE_S = 60.0


@click.command("stop")
@finding
@click.option("--timeout", "timeout_s", type=float, default=DEADLINE_S, show_default=True)
def command(admin: str | None, state_dir: str | None, timeout_s: float) -> None:
    """Stop the running emulator as Ctrl-C does, and wait until it is gone."""
    running = located(admin, state_dir)
    pid = asked(running, "GET", "/_emulator/info")["pid"]
    os.kill(pid, signal.SIGTERM)
    if not until(lambda: not _lives(pid), timeout_s):
        fail(Exit.FUNCTION_FAILED, f"process {pid} has not ended within {timeout_s:g} s")
    click.echo(f"fc-emu (process {pid}) has stopped")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
