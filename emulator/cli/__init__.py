"""The command line. Commands import their work inside their bodies: ``--help`` stays quick."""

import importlib
import sys

import click

from emulator import __version__

COMMANDS = {
    "start": "Run the functions of a project folder.",
    "invoke": "Invoke a function and print its result.",
    "list": "List the functions of the running emulator.",
    "status": "Say whether an emulator runs here, and where.",
    "wait": "Wait until the emulator is ready.",
    "stop": "Stop the running emulator.",
    "clean": "Remove what dead runs left.",
    "doctor": "Examine what this machine has for running functions.",
    "images": "Get the images that runtimes run in.",
}
"""Every command with its line in ``--help``; the module is ``emulator.cli.<name>``."""


class LazyGroup(click.Group):
    """A group that imports a command only when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order in which they are usually needed."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = "list_" if cmd_name == "list" else cmd_name
        command = importlib.import_module(f"emulator.cli.{module}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fc-emu")
def group() -> None:
    """Run Alibaba Cloud Function Compute on this machine.

    Docker contains accidents and is no wall against hostile code; functions that run as processes
    are isolated from nothing.
    """


def main() -> None:
    """Run the command line; the entry point."""
    for stream in (sys.stdout, sys.stderr):
        # Whatever the locale, a name in another alphabet is no reason to fail.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # text streams
    group()
