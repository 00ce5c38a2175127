"""``fc-emu wait``."""

import click

from emulator.cli.exits import Exit, fail
from emulator.cli.options import finding
from emulator.cli.running import NotRunning, Running, ask, locate
from emulator.cli.waiting import until


@click.command("wait")
@finding
@click.option(
    "--timeout", "timeout_s", type=float, default=30.0, show_default=True, help="Seconds."
)
def command(admin: str | None, state_dir: str | None, timeout_s: float) -> None:
    """Wait until the emulator is ready.

    Exit code 0 when it is, 8 when it is not within the time.
    """
    found: list[Running] = []

    def ready() -> bool:
        try:
            running = locate(admin, state_dir)
            ask(running, "GET", "/_emulator/health")
        except NotRunning:
            return False
        found.append(running)
        return True

    if not until(ready, timeout_s):
        fail(Exit.NO_EMULATOR, f"no emulator was ready within {timeout_s:g} s")
    click.echo(found[-1].endpoint)
