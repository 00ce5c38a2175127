"""Single checks of ``fc-emu doctor`` that look at the machine alone: ports, proxies, limits."""

import shlex
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emulator.config import DEFAULT_ADMIN_PORT, Config
from emulator.listen import PortTaken, bind_loopback

Level = Literal["ok", "warning", "problem"]

PROXY_VARIABLES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy")
EXCEPTION_VARIABLES = ("NO_PROXY", "no_proxy")
LOCAL_NAMES = ("127.0.0.1", "localhost")

INOTIFY = Path("/proc/sys/fs/inotify")
"""Where Linux has its limits on watching files. Source: inotify(7)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    ``evidence`` is what the verdict rests on; ``next_step`` is "" when nothing is to be done.
    """

    check: str
    level: Level
    found: str
    evidence: str
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of the kernel that a run can hit: below ``enough`` it is likely to."""

    name: str
    enough: int
    advised: int


LIMITS = (
    # One for each folder of a project. 8192 was the default of every kernel before 5.11.
    Limit("max_user_watches", enough=8_192, advised=524_288),
    # One for each emulator, and some for each editor and desktop. 128 is the kernel's default.
    Limit("max_user_instances", enough=128, advised=512),
)


def check_ports(config: Config) -> list[Finding]:
    """Bind both ports as a start would, and let go of them."""
    found = []
    wire, admin = config.port, config.admin_port
    with ExitStack() as stack:
        for option, port in (("port", wire), ("admin-port", admin)):
            check = f"{option} {port}"
            evidence = f"bind 127.0.0.1:{port} and [::1]:{port}"
            if option == "admin-port" and port == wire != 0:
                step = f"choose another with --admin-port, or FC_EMU_ADMIN_PORT={port + 1}"
                found.append(Finding(check, "problem", "is the API's as well", evidence, step))
                continue
            try:
                for bound in bind_loopback(port):
                    stack.enter_context(closing(bound))
            except PortTaken as error:
                found.append(_taken(check, option, port, str(error)))
            except OSError as error:
                step = "give this machine a loopback interface (ip link set lo up)"
                found.append(Finding(check, "problem", str(error), evidence, step))
            else:
                free = "free" if port else "any free one"
                found.append(Finding(check, "ok", free, evidence))
    return found


def _taken(check: str, option: str, port: int, why: str) -> Finding:
    variable = f"FC_EMU_{option.upper().replace('-', '_')}"
    step = (
        f"end what holds it (fc-emu stop, if it is an emulator), or choose another with "
        f"--{option} or {variable} (0 takes a free one)"
    )
    if option == "admin-port" and port == DEFAULT_ADMIN_PORT:
        return Finding(check, "warning", f"{why}; a start takes a free one instead", why, step)
    return Finding(check, "problem", why, why, step)


def check_proxies(environ: Mapping[str, str]) -> Finding:
    """Say whether SDKs would send calls of this machine's emulator to a proxy.

    Clients differ in which spelling of ``NO_PROXY`` they read: one that is set must do.
    """
    proxies = [name for name in PROXY_VARIABLES if environ.get(name)]
    if not proxies:
        return Finding("proxy", "ok", "none is set", f"{', '.join(PROXY_VARIABLES)}: not set")
    listed = {
        name: [entry.strip() for entry in environ[name].split(",") if entry.strip()]
        for name in EXCEPTION_VARIABLES
        if environ.get(name)
    }
    evidence = "; ".join(
        [
            f"{', '.join(proxies)}: set",  # not their values: they may hold a password
            *(f"{name}={','.join(entries)}" for name, entries in listed.items()),
        ]
    )
    lacking = [
        local
        for local in LOCAL_NAMES
        if not listed or not all({"*", local} & set(entries) for entries in listed.values())
    ]
    if not lacking:
        return Finding("proxy", "ok", "this machine is excepted", evidence)
    entries = [entry for entries in listed.values() for entry in entries]
    value = shlex.quote(",".join(dict.fromkeys([*entries, *LOCAL_NAMES])))
    return Finding(
        "proxy",
        "warning",
        f"{', '.join(proxies)} would take calls of the emulator as well: "
        f"NO_PROXY lacks {' and '.join(lacking)}",
        evidence,
        f"export NO_PROXY={value} no_proxy={value}",
    )


def check_watching(folder: Path = INOTIFY) -> list[Finding]:
    """Compare the kernel's limits on watching files; nothing where it has none."""
    found = []
    for limit in LIMITS:
        path = folder / limit.name
        try:
            value = int(path.read_text("ascii"))
        except (OSError, ValueError):
            continue
        is_enough = value >= limit.enough
        found.append(
            Finding(
                f"inotify {limit.name}",
                "ok" if is_enough else "warning",
                str(value) if is_enough else f"{value}: reloading on save may not work",
                f"{path}: {value}, {limit.enough} are enough",
                "" if is_enough else f"sudo sysctl fs.inotify.{limit.name}={limit.advised}",
            )
        )
    return found
