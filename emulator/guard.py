"""Who may talk to the listeners: one pure decision in front of every route and method.

A page that is open in the developer's browser can send requests to loopback, and a name that its
owner points at loopback can read the answers. So a request is refused unless its Host is ours,
and unless it comes from a program or from our own pages. Nothing is allowed by method.
Source: reliability contract, T1 and T2.
"""

import ipaddress
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

from emulator.core.paths import raw_path

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_AUTHORITY = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")

PROXY_PREFIX = "/2016-08-15/proxy/"
"""HTTP triggers: the functions' own pages and callers live there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """What the decision looks at; values as they came, None where the header is absent."""

    method: str
    target: str
    host: str | None
    peer: str | None = None
    origin: str | None = None
    fetch_site: str | None = None
    fetch_mode: str | None = None
    fetch_dest: str | None = None
    any_fetch_header: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """``allowed_hosts`` and ``allowed_origins`` come from the command line; ``port`` is ours.

    ``browsable`` marks a listener whose own pages a browser may use (the admin one);
    ``loopback_only`` refuses peers from elsewhere, containers among them.
    """

    port: int
    allowed_hosts: frozenset[str] = frozenset()
    allowed_origins: frozenset[str] = frozenset()
    browsable: bool = False
    loopback_only: bool = False


def denial(incoming: Incoming, policy: Policy) -> str | None:
    """Say why a request is refused; None when it may pass."""
    return (
        _bad_peer(incoming, policy) or _bad_host(incoming, policy) or _bad_origin(incoming, policy)
    )


def _bad_peer(incoming: Incoming, policy: Policy) -> str | None:
    if not policy.loopback_only:
        return None
    try:
        local = ipaddress.ip_address((incoming.peer or "").partition("%")[0]).is_loopback
    except ValueError:
        local = False
    return None if local else "the admin API answers this machine only"


def _bad_host(incoming: Incoming, policy: Policy) -> str | None:
    name = host_name(incoming.host or "")
    if name is None:
        return f"Host {incoming.host!r} is not a host name with an optional port"
    if not _is_ours(name) and name not in policy.allowed_hosts:
        return f"Host '{name}' is not one of this emulator's; --allow-host {name} would allow it"
    if incoming.target.lower().startswith(("http://", "https://")):
        authority = _authority(incoming.target)
        if authority.lower() != (incoming.host or "").lower():
            return f"the request line names '{authority}' and Host '{incoming.host}'"
    return None


def _bad_origin(incoming: Incoming, policy: Policy) -> str | None:
    to_function = raw_path(incoming.target).startswith(PROXY_PREFIX)
    if incoming.any_fetch_header and not (policy.browsable or to_function):
        return "the API does not answer pages in a browser"
    if to_function and _navigates(incoming):
        return None
    if to_function and incoming.origin is not None and _is_friendly(incoming.origin, policy):
        return None
    if incoming.fetch_site is not None:
        if incoming.fetch_site in ("same-origin", "none"):
            return None
        return f"Sec-Fetch-Site '{incoming.fetch_site}': pages of other sites are refused"
    if incoming.origin is not None and not _is_own(incoming.origin, policy):
        return f"Origin '{incoming.origin}': pages of other sites are refused"
    return None


def host_name(host: str) -> str | None:
    """Give the name in a Host header, lower case, without port and brackets; None when broken."""
    match = _AUTHORITY.fullmatch(host)
    if match is None or int(match["port"] or 0) > 65_535:
        return None
    return match["name"].lower().strip("[]")


def _is_ours(name: str) -> bool:
    return name in ("localhost", "127.0.0.1", "::1") or name.endswith(".localhost")


def _is_own(origin: str, policy: Policy) -> bool:
    hosts = ("127.0.0.1", "localhost", "[::1]")
    return origin in {f"http://{host}:{policy.port}" for host in hosts}


def _is_friendly(origin: str, policy: Policy) -> bool:
    """Whether a page from there may call HTTP triggers: one's own front end, or one named."""
    if origin in policy.allowed_origins:
        return True
    name = host_name(_authority(origin))
    return origin.startswith(("http://", "https://")) and name is not None and _is_ours(name)


def _authority(url: str) -> str:
    """Give what stands between the scheme and the path; "" where there is no such thing."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _navigates(incoming: Incoming) -> bool:
    """A person following a link, as after signing in elsewhere."""
    return (
        incoming.method == "GET"
        and incoming.fetch_mode == "navigate"
        and incoming.fetch_dest == "document"
    )


class Guarded:
    """A listener's handler with the guard in front.

    Args:
        refuse: renders a refusal in the spelling of that listener.
    """

    def __init__(
        self, handler: Handler, policy: Policy, refuse: Callable[[str], web.StreamResponse]
    ) -> None:
        self._handler = handler
        self._policy = policy
        self._refuse = refuse

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Pass a request on, or refuse it without reading its body."""
        why = denial(_incoming(request), self._policy)
        return self._refuse(why) if why is not None else await self._handler(request)


def _incoming(request: web.BaseRequest) -> Incoming:
    """Take the raw request line and headers; ``request.url`` raises where Host is broken."""
    headers = request.headers
    transport = request.transport
    peer = transport.get_extra_info("peername") if transport is not None else None
    return Incoming(
        method=request.method,
        target=request.message.path,
        host=headers.get("Host"),
        peer=str(peer[0]) if peer else None,
        origin=headers.get("Origin"),
        fetch_site=headers.get("Sec-Fetch-Site"),
        fetch_mode=headers.get("Sec-Fetch-Mode"),
        fetch_dest=headers.get("Sec-Fetch-Dest"),
        any_fetch_header=any(name.lower().startswith("sec-fetch-") for name in headers),
    )
