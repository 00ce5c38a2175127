"""Listening sockets on loopback, both families on one port."""

import errno
import socket
from contextlib import suppress
from pathlib import Path

ATTEMPTS = 20
"""How often a free port is looked for that is free in both families."""

_LISTENING = "0A"
"""State of a listening socket in /proc/net/tcp. Source: proc(5)."""


class PortTaken(Exception):
    """A port is in use; the text names address and, where it can be seen, the holder."""


def bind_loopback(port: int) -> list[socket.socket]:
    """Listen on 127.0.0.1 and, where the machine has it, ::1; 0 means any port, the same on both.

    Raises:
        PortTaken: an address is in use.
    """
    for _ in range(ATTEMPTS if port == 0 else 1):
        first = _bind(socket.AF_INET, "127.0.0.1", port)
        chosen = first.getsockname()[1]
        try:
            return [first, *_bind_v6(chosen)]
        except PortTaken:
            first.close()
            if port != 0:
                raise
    raise PortTaken(f"no port was free on both 127.0.0.1 and [::1] in {ATTEMPTS} attempts")


def _bind_v6(port: int) -> list[socket.socket]:
    try:
        return [_bind(socket.AF_INET6, "::1", port)]
    except PortTaken:
        raise
    except OSError:
        return []


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        # So that a restart does not have to wait for connections that are closing.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((host, port))
        made.listen(512)
    except PermissionError as error:
        made.close()
        raise PortTaken(f"port {port} needs rights that this user does not have") from error
    except OSError as error:
        made.close()
        if error.errno != errno.EADDRINUSE:
            raise
        shown = f"[{host}]:{port}" if family == socket.AF_INET6 else f"{host}:{port}"
        raise PortTaken(f"{shown} is in use{_held_by(port, family)}") from error
    return made


def _held_by(port: int, family: socket.AddressFamily) -> str:
    """Say who listens on a port, as far as /proc shows it to this user."""
    for inode in _listeners(port, "tcp6" if family == socket.AF_INET6 else "tcp"):
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if any(
                    str(link.readlink()) == f"socket:[{inode}]"
                    for link in (folder / "fd").iterdir()
                ):
                    name = (folder / "comm").read_text().strip()
                    return f" by process {folder.name} ({name})"
    return ""


def _listeners(port: int, table: str) -> list[str]:
    found = []
    with suppress(OSError):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                found.append(fields[9])
    return found
