"""``fc-emu list``."""

import json
from typing import Any

import click

from emulator.cli.options import finding
from emulator.cli.running import asked, located

COLUMNS = ("FUNCTION", "RUNTIME", "DRIVER", "INTERPRETER", "IDLE", "BUSY", "URL")


@click.command("list")
@finding
@click.option("--json", "as_json", is_flag=True, help="Print the admin API's answer.")
def command(admin: str | None, state_dir: str | None, *, as_json: bool) -> None:
    """List the functions of the running emulator, with their notices."""
    answer = asked(located(admin, state_dir), "GET", "/_emulator/functions?limit=1000")
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False))
        return
    rows = [COLUMNS, *(_row(item) for item in answer["items"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
    for item in answer["items"]:
        for notice in item["notices"]:
            click.echo(f"{item['id']}: {notice}")


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    instances = item["instances"]
    return (
        item["id"],
        item["runtime"],
        item["driver"],
        item["interpreter"] or "-",
        str(instances["idle"]),
        str(instances["busy"]),
        item["url"],
    )
