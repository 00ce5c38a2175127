"""Finding and asking the emulator that runs; with the standard library, which loads quickly."""

import http.client
import json
import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from emulator.cli.exits import Exit, fail
from emulator.state import default_state_dir

ANSWER_DEADLINE_S = 10.0
"""The admin API answers at once or is not there."""


@dataclass(frozen=True, slots=True)
class Running:
    """An emulator that said it runs; addresses without a slash at the end."""

    endpoint: str
    admin: str
    token: str
    pid: int | None
    state: Path | None


class NotRunning(Exception):
    """No emulator answers; the text says where it was looked for."""


def locate(admin: str | None, state_dir: str | None) -> Running:
    """Find the emulator: ``--admin``, else FC_EMU_ADMIN, else run.json of here or of a parent.

    Raises:
        NotRunning: there is none.
    """
    address = admin or os.environ.get("FC_EMU_ADMIN")
    token = os.environ.get("FC_EMU_TOKEN")
    if address and token:
        endpoint = os.environ.get("FC_EMU_ENDPOINT", "")
        return Running(endpoint.rstrip("/"), address.rstrip("/"), token, None, None)
    files = run_files(state_dir)
    for path in files:
        found = _read(path)
        if found is not None and (not address or found.admin == address.rstrip("/")):
            return found
    where = address or f"{len(files)} state folder(s) of this folder and its parents"
    raise NotRunning(f"no emulator runs here (looked at {where}); fc-emu start starts one")


def run_files(state_dir: str | None) -> list[Path]:
    """Name the run.json files that may be ours, the nearest first."""
    chosen = state_dir or os.environ.get("FC_EMU_STATE_DIR")
    if chosen:
        return [Path(chosen) / "run.json"]
    here = Path.cwd()
    return [default_state_dir(folder, os.environ) / "run.json" for folder in (here, *here.parents)]


def ask(running: Running, method: str, path: str) -> Any:
    """Send a request to the admin API and give its JSON.

    Raises:
        NotRunning: nothing answers there any more.
    """
    status, body, _ = send(
        f"{running.admin}{path}",
        method,
        headers={"X-Fc-Emu-Token": running.token},
        timeout_s=ANSWER_DEADLINE_S,
    )
    answer = json.loads(body)
    if status != 200:
        raise NotRunning(f"{running.admin} answered {status}: {answer['error']['message']}")
    return answer


def send(
    url: str, method: str, *, headers: Mapping[str, str], body: bytes = b"", timeout_s: float
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """Send one request straight to ``url``; proxy variables are for other people's hosts.

    Raises:
        NotRunning: nothing answers there.
    """
    parts = urlsplit(url)
    try:
        with closing(
            http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
        ) as connection:
            connection.request(method, parts.path or "/", body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
    except (OSError, http.client.HTTPException) as error:
        raise NotRunning(f"{parts.scheme}://{parts.netloc} does not answer: {error}") from error


def located(admin: str | None, state_dir: str | None) -> Running:
    """As ``locate``, ending the command where there is none."""
    try:
        return locate(admin, state_dir)
    except NotRunning as error:
        fail(Exit.NO_EMULATOR, str(error))


def asked(running: Running, method: str, path: str) -> Any:
    """As ``ask``, ending the command where nothing answers."""
    try:
        return ask(running, method, path)
    except NotRunning as error:
        fail(Exit.NO_EMULATOR, str(error))


def _read(path: Path) -> Running | None:
    """Read a run.json; one that is not there or half there counts for nothing."""
    try:
        facts = json.loads(path.read_text("utf-8"))
        return Running(facts["endpoint"], facts["admin"], facts["token"], facts["pid"], path.parent)
    except (OSError, ValueError, KeyError, TypeError):
        return None
