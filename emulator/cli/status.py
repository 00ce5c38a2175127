"""``fc-emu status``."""

import json

import click

from emulator.cli.options import finding
from emulator.cli.running import asked, located


@click.command("status")
@finding
@click.option("--json", "as_json", is_flag=True, help="Print the admin API's answer.")
def command(admin: str | None, state_dir: str | None, *, as_json: bool) -> None:
    """Say whether an emulator runs here, and where.

    Exit code 0 when one answers, 8 when none does.
    """
    info = asked(located(admin, state_dir), "GET", "/_emulator/info")
    if as_json:
        click.echo(json.dumps(info, ensure_ascii=False))
        return
    counts = info["counts"]
    click.echo(f"fc-emu {info['version']} runs as process {info['pid']}")
    click.echo(f"  endpoint  {info['endpoint']}")
    click.echo(f"  admin     {info['admin']}")
    click.echo(f"  driver    {info['driver']}")
    click.echo(f"  state     {info['state']}")
    click.echo(
        f"  work      {counts['functions']} functions, {counts['running']} invocations running, "
        f"{counts['pending']} pending"
    )
