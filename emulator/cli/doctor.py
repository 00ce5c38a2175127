"""``fc-emu doctor``."""

import json
import os
from pathlib import Path

import click

from emulator.cli.exits import Exit, fail

PROBLEM_FOUND = 1
"""Exit code of a check that found something. Source: contract of the command line."""


@click.command("doctor")
@click.argument("folder", default=".", metavar="[FOLDER]")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
def command(folder: str, *, as_json: bool) -> None:
    """Examine what this machine has for running the functions of FOLDER (this one).

    Looks at the Docker engine, images, interpreters, ports, proxy variables and the limits on
    watching files. Changes nothing, pulls nothing, and runs nothing of the project but the
    interpreters that start would ask for their version.

    \b
    Exit codes: 0 no problem (there may be warnings)  1 a problem  2 options or fc-emu.toml
    """
    from emulator import config as configs
    from emulator.project.model import one_line
    from emulator.wiring.doctor import examine

    place = Path(folder).absolute()
    if not place.is_dir():
        fail(Exit.USAGE, f"{place} is not a folder")
    try:
        config = configs.load(configs.read_config_file(place), os.environ, {})
        findings = examine(place, config, dict(os.environ))
    except configs.ConfigError as error:
        fail(Exit.USAGE, str(error))
    if as_json:
        items = [
            {
                "check": finding.check,
                "level": finding.level,
                "found": finding.found,
                "evidence": finding.evidence,
                "nextStep": finding.next_step,
            }
            for finding in findings
        ]
        click.echo(json.dumps({"items": items}, ensure_ascii=False))
    else:
        for finding in findings:
            click.echo(f"{finding.level:<8} {one_line(f'{finding.check}: {finding.found}')}")
            if finding.next_step:
                click.echo(f"         -> {one_line(finding.next_step)}")
    if any(finding.level == "problem" for finding in findings):
        raise SystemExit(PROBLEM_FOUND)
