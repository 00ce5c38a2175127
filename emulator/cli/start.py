"""``fc-emu start``."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from emulator.cli.exits import Exit, fail

F = TypeVar("F", bound=Callable[..., object])


def _option(*names: str, **kwargs: Any) -> Callable[[F], F]:
    """Make an option whose absence can be told from its default, which is config's matter."""
    return click.option(*names, default=None, **kwargs)


def _many(*names: str, **kwargs: Any) -> Callable[[F], F]:
    return click.option(*names, multiple=True, **kwargs)


@click.command("start")
@click.argument("folders", nargs=-1, metavar="[FOLDER]...")
@_option("-t", "--template", metavar="FILE", help="The project file, if not s.yaml.")
@_option("--sample", metavar="NAME", help="Run a sample that comes with fc-emu: quickstart, chain.")
@_many("--code", metavar="FUNCTION=PATH", help="Take a function's code from there.")
@_many("-e", "variables", metavar="FUNCTION.KEY=VALUE", help="One more variable for a function.")
@_option("-p", "--port", type=int, help="Port of the API (3200); 0 takes a free one.")
@_option("--admin-port", type=int, help="Port of the admin API (3201); 0 takes a free one.")
@_many("--allow-host", metavar="NAME", help="Answer requests to this host name too.")
@_many("--allow-origin", metavar="ORIGIN", help="Let pages from there call HTTP triggers.")
@_option("--driver", type=click.Choice(["auto", "docker", "process"]), help="How instances run.")
@_many("--image", metavar="RUNTIME=IMAGE", help="Run a runtime's functions in this image.")
@_option("--registry", metavar="PREFIX", help="Put this in front of the names of images.")
@_option("--python", metavar="PATH", help="The Python that runs Python functions.")
@_option("--idle-timeout", type=float, metavar="S", help="End an instance unused for so long.")
@_option("--max-instances", type=int, metavar="N", help="Instances of one function (16).")
@_many("--pass-env", metavar="NAME", help="Give functions this variable of yours.")
@_option("--no-watch", is_flag=True, help="Do not reload on save (the handler's file still is).")
@_option("--poll", is_flag=True, help="Look for changes instead of being told of them.")
@_option("--state-dir", metavar="DIR", help="Keep state there.")
@_option("--account-id", metavar="ID", help="The account to play (123456789012).")
@_option("--region", metavar="ID", help="The region to play, if not the project's (cn-hangzhou).")
@_option("--ready-file", metavar="FILE", help="Write what run.json holds there, when ready.")
@_option("--grace", type=float, metavar="S", help="What running work gets at a stop (8).")
@_option("--json", is_flag=True, help="One JSON object a line on standard output.")
@_option("-q", "--quiet", is_flag=True, help="Only function output, failures and notices.")
@_option("-v", "--verbose", is_flag=True, help="Instances and the runtime's own lines too.")
def command(folders: tuple[str, ...], variables: tuple[str, ...], **options: Any) -> None:
    """Run the functions of a project folder (this one) until Ctrl-C.

    Looks for s.yaml (component fc3), else for a Python file with a function named handler.
    Options may also stand in fc-emu.toml, or in variables named FC_EMU_<OPTION>.

    \b
    Exit codes: 0 stopped  2 options or project file  3 port in use
                4 state in use  5 state damaged  6 no driver  7 not writable
    """
    from emulator import config as configs
    from emulator.listen import PortTaken
    from emulator.project import ProjectError
    from emulator.state import StateDamaged, StateLocked, StateUnusable
    from emulator.wiring import NoDriver, Start, start

    given = {name: value for name, value in options.items() if value not in (None, ())}
    places = [Path(folder).absolute() for folder in folders or (".",)]
    for place in places:
        if not place.is_dir():
            fail(Exit.USAGE, f"{place} is not a folder")
    try:
        config = configs.load(configs.read_config_file(places[0]), os.environ, given)
        code = start(Start(config, places, variables, dict(os.environ)))
    except (configs.ConfigError, ProjectError) as error:
        fail(Exit.USAGE, str(error))
    except PortTaken as error:
        fail(Exit.PORT_BUSY, f"{error}; choose another with --port (0 takes a free one)")
    except StateLocked as error:
        fail(Exit.STATE_LOCKED, str(error))
    except StateDamaged as error:
        fail(Exit.STATE_DAMAGED, str(error))
    except NoDriver as error:
        fail(Exit.NO_DRIVER, str(error))
    except StateUnusable as error:
        fail(Exit.NOT_WRITABLE, str(error))
    raise SystemExit(code)
