"""``fc-emu invoke``."""

import base64
import sys
from pathlib import Path

import click

from emulator.cli.exits import Exit, fail
from emulator.cli.options import finding
from emulator.cli.running import NotRunning, located, send
from emulator.core.errors import ApiError
from emulator.core.limits import MAX_ASYNC_DELAY_S, MAX_TIMEOUT_S
from emulator.core.refs import LATEST, parse_id


@click.command("invoke")
@click.argument("function", metavar="ID")
@click.option("-e", "--event", "text", metavar="TEXT", help="The event.")
@click.option("-f", "--event-file", "file", metavar="FILE", help="File with the event; - is stdin.")
@click.option("--async", "asynchronous", is_flag=True, help="Accept now, run later; no result.")
@click.option(
    "--delay",
    "delay_s",
    type=click.IntRange(0, MAX_ASYNC_DELAY_S),
    metavar="S",
    help="Seconds until it runs; implies --async.",
)
@click.option("--log", is_flag=True, help="Print the end of the function's log on stderr.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="One more header.")
@finding
def command(
    function: str,
    text: str | None,
    file: str | None,
    delay_s: int | None,
    headers: tuple[str, ...],
    admin: str | None,
    state_dir: str | None,
    *,
    asynchronous: bool,
    log: bool,
) -> None:
    """Invoke a function through the wire API, as an SDK would, and print its result.

    ID is NAME, SERVICE/NAME or SERVICE.QUALIFIER/NAME. Exit code 1 when the function failed.
    """
    running = located(admin, state_dir)
    sent = _headers(headers)
    sent["X-Fc-Invocation-Type"] = "Async" if asynchronous or delay_s is not None else "Sync"
    if delay_s is not None:
        sent["X-Fc-Async-Delay"] = str(delay_s)
    elif log and not asynchronous:
        sent["X-Fc-Log-Type"] = "Tail"
    try:
        status, body, answer = send(
            f"{running.endpoint}{_path(function)}",
            "POST",
            headers=sent,
            body=_event(text, file),
            timeout_s=MAX_TIMEOUT_S,
        )
    except NotRunning as error:
        fail(Exit.NO_EMULATOR, str(error))
    if log:
        tail = base64.b64decode(answer.get("X-Fc-Log-Result", ""))
        click.echo(tail.decode("utf-8", "replace"), err=True, nl=False)
    if status >= 400:
        fail(Exit.FUNCTION_FAILED, f"{function} was not run: {body.decode('utf-8', 'replace')}")
    if status == 202:
        click.echo(answer.get("X-Fc-Request-Id", ""))
        return
    sys.stdout.buffer.write(body)
    if sys.stdout.isatty():
        click.echo()
    sys.stdout.flush()
    if answer.get("X-Fc-Error-Type"):
        raise SystemExit(int(Exit.FUNCTION_FAILED))


def _path(function: str) -> str:
    try:
        ref = parse_id(function)
    except ApiError as error:
        fail(Exit.USAGE, error.message)
    qualifier = "" if ref.qualifier == LATEST else f".{ref.qualifier}"
    return f"/2016-08-15/services/{ref.service}{qualifier}/functions/{ref.function}/invocations"


def _event(text: str | None, file: str | None) -> bytes:
    if text is not None and file is not None:
        fail(Exit.USAGE, "give the event with -e or with -f, not with both")
    if text is not None:
        return text.encode("utf-8", "surrogateescape")
    if file is None:
        return b""
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        fail(Exit.USAGE, f"-f {file}: {error.strerror}")


def _headers(given: tuple[str, ...]) -> dict[str, str]:
    headers = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name.isascii() or "\n" in value or "\r" in value:
            fail(Exit.USAGE, f"--header takes NAME=VALUE, not {item!r}")
        headers[name] = value
    return headers
