"""Who may talk to the listeners, as tables."""

import pytest

from emulator.guard import PROXY_PREFIX, Incoming, Policy, denial, host_name

PORT = 9000
HOST = f"localhost:{PORT}"
WIRE_PATH = "/2016-08-15/services/s/functions/f/invocations"
PROXY_PATH = PROXY_PREFIX + "s/f/"
FOREIGN = "https://evil.example"

WIRE = Policy(
    port=PORT,
    allowed_hosts=frozenset({"fc.test"}),
    allowed_origins=frozenset({"https://app.example"}),
)
ADMIN = Policy(port=PORT, browsable=True)
LOCAL_ADMIN = Policy(port=PORT, browsable=True, loopback_only=True)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost",
        HOST,
        "localhost:1",
        "localhost:65535",
        "127.0.0.1",
        "127.0.0.1:9000",
        "[::1]",
        "[::1]:9000",
        "s.localhost",
        "a.b.localhost:9000",
        "fc.test",
        "FC.test:9000",
    ],
)
def test_our_own_host_names_pass(host: str) -> None:
    """Loopback by its names, everything below localhost, and what --allow-host names."""
    why = denial(Incoming(method="POST", target=WIRE_PATH, host=host), WIRE)

    assert why is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:9000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "notlocalhost",
        "fc.test.evil.example",
        "sub.fc.test",
        "0.0.0.0",
        "10.0.0.1",
        "192.168.1.2:9000",
        "172.17.0.1",
        "[::]",
        "[fe80::1]:9000",
        "[2001:db8::1]",
    ],
)
def test_foreign_hosts_are_refused_with_the_option_that_would_allow_them(host: str) -> None:
    """A name that its owner points at loopback cannot read answers; nor any other address."""
    why = denial(Incoming(method="GET", target=WIRE_PATH, host=host), WIRE)

    assert why is not None
    assert f"--allow-host {host_name(host)} would allow it" in why


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        " ",
        ":9000",
        "localhost:",
        "localhost:999999",
        "localhost:65536",
        "localhost:port",
        "localhost:-1",
        "localhost:9000:9000",
        "localhost:٩",
        "localhost ",
        "localhost\n",
        "localhost/",
        "local host",
        "user@localhost",
        "localhost,evil.example",
        "::1",
        "[::1",
        "[]",
    ],
)
def test_broken_hosts_are_refused(host: str | None) -> None:
    """Whatever is not a name with an optional port is nobody's."""
    why = denial(Incoming(method="GET", target=WIRE_PATH, host=host), WIRE)

    assert why == f"Host {host!r} is not a host name with an optional port"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("LocalHost:9000", "localhost"),
        ("[::1]:9000", "::1"),
        ("a.b", "a.b"),
        ("broken/999999", None),
        ("broken:999999", None),
        ("", None),
    ],
)
def test_a_host_name_is_given_without_port_and_brackets(host: str, expected: str | None) -> None:
    """In lower case, and not at all where the header is broken."""
    name = host_name(host)

    assert name == expected


@pytest.mark.parametrize(
    "target",
    [
        f"http://{HOST}{WIRE_PATH}",
        f"HTTP://{HOST.upper()}{WIRE_PATH}",
        f"https://{HOST}{WIRE_PATH}?a=b",
        f"http://{HOST}",
        f"{WIRE_PATH}?url=http://evil.example/",
    ],
)
def test_a_whole_url_that_agrees_with_host_passes(target: str) -> None:
    """As a client writes it that takes the emulator for its proxy."""
    why = denial(Incoming(method="GET", target=target, host=HOST), WIRE)

    assert why is None


@pytest.mark.parametrize(
    "target",
    [
        f"http://evil.example{WIRE_PATH}",
        f"HTTPS://evil.example{WIRE_PATH}",
        f"http://localhost{WIRE_PATH}",
        f"http://localhost:1{WIRE_PATH}",
        f"http://user@{HOST}{WIRE_PATH}",
        f"http://{HOST}@evil.example{WIRE_PATH}",
        f"http://{WIRE_PATH}",
    ],
)
def test_a_whole_url_that_names_another_host_is_refused(target: str) -> None:
    """Two names for one request are one too many."""
    why = denial(Incoming(method="GET", target=target, host=HOST), WIRE)

    assert why is not None
    assert why.startswith("the request line names")


@pytest.mark.parametrize("policy", [WIRE, ADMIN], ids=["wire", "admin"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"])
def test_a_program_passes_with_every_method(method: str, policy: Policy) -> None:
    """Programs send neither Origin nor Sec-Fetch headers."""
    why = denial(Incoming(method=method, target=WIRE_PATH, host=HOST), policy)

    assert why is None


@pytest.mark.parametrize("policy", [WIRE, ADMIN], ids=["wire", "admin"])
@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]"])
def test_our_own_origin_passes(name: str, policy: Policy) -> None:
    """Our pages are at our port on loopback."""
    incoming = Incoming(method="POST", target=WIRE_PATH, host=HOST, origin=f"http://{name}:{PORT}")

    why = denial(incoming, policy)

    assert why is None


@pytest.mark.parametrize("policy", [WIRE, ADMIN], ids=["wire", "admin"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "origin",
    [
        FOREIGN,
        "null",
        "",
        "http://localhost",
        "http://localhost:3000",
        f"https://localhost:{PORT}",
        f"http://s.localhost:{PORT}",
        f"http://localhost:{PORT}.evil.example",
        "https://app.example",
    ],
)
def test_other_origins_are_refused_with_every_method(
    origin: str, method: str, policy: Policy
) -> None:
    """Another port of loopback is another site, and --allow-origin is for HTTP triggers only."""
    incoming = Incoming(method=method, target=WIRE_PATH, host=HOST, origin=origin)

    why = denial(incoming, policy)

    assert why == f"Origin '{origin}': pages of other sites are refused"


@pytest.mark.parametrize(
    ("site", "passes"),
    [
        ("same-origin", True),
        ("none", True),
        ("same-site", False),
        ("cross-site", False),
        ("Same-Origin", False),
        ("unheard-of", False),
        ("", False),
    ],
)
@pytest.mark.parametrize(
    ("target", "policy"), [("/", ADMIN), (PROXY_PATH, WIRE)], ids=["admin", "trigger"]
)
def test_a_browser_may_come_from_our_own_pages_or_from_none(
    site: str, passes: bool, target: str, policy: Policy
) -> None:
    """Where browsers may come at all, Sec-Fetch-Site says from where."""
    incoming = Incoming(
        method="POST", target=target, host=HOST, fetch_site=site, any_fetch_header=True
    )

    why = denial(incoming, policy)

    expected = f"Sec-Fetch-Site '{site}': pages of other sites are refused"
    assert why == (None if passes else expected)


@pytest.mark.parametrize("site", ["same-origin", "none", "same-site", "cross-site", None])
def test_the_api_answers_no_browser_at_all(site: str | None) -> None:
    """Any Sec-Fetch header, even of a page of ours, refuses a request to the API."""
    incoming = Incoming(
        method="GET", target=WIRE_PATH, host=HOST, fetch_site=site, any_fetch_header=True
    )

    why = denial(incoming, WIRE)

    assert why == "the API does not answer pages in a browser"


@pytest.mark.parametrize(
    "target",
    [
        "/2016-08-15/proxy",
        "/2016-08-15/proxyish/s/f/",
        f"/x{PROXY_PATH}",
        f"/?{PROXY_PATH}",
        f"http://{HOST}/x?{PROXY_PATH}",
    ],
)
def test_only_paths_of_http_triggers_are_open_to_browsers(target: str) -> None:
    """What merely mentions the prefix is the API."""
    incoming = Incoming(
        method="GET", target=target, host=HOST, fetch_site="none", any_fetch_header=True
    )

    why = denial(incoming, WIRE)

    assert why == "the API does not answer pages in a browser"


@pytest.mark.parametrize("target", [PROXY_PATH, f"http://{HOST}{PROXY_PATH}", f"{PROXY_PATH}?a=b"])
@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:3000",
        "https://localhost",
        "http://127.0.0.1:5173",
        "http://[::1]:8080",
        "http://app.localhost:3000",
        "https://app.example",
    ],
)
def test_an_http_trigger_may_be_called_by_ones_own_front_end(origin: str, target: str) -> None:
    """From any port of loopback, or from where --allow-origin says, across sites."""
    incoming = Incoming(
        method="POST",
        target=target,
        host=HOST,
        origin=origin,
        fetch_site="cross-site",
        fetch_mode="cors",
        fetch_dest="empty",
        any_fetch_header=True,
    )

    why = denial(incoming, WIRE)

    assert why is None


@pytest.mark.parametrize("site", [None, "same-site", "cross-site"])
@pytest.mark.parametrize(
    "origin",
    [
        FOREIGN,
        "null",
        "http://app.example",
        "https://app.example:444",
        "http://localhost.evil.example",
        "http://localhost@evil.example",
        "http://localhost:999999",
        "ftp://localhost",
        "file://",
        "localhost:3000",
    ],
)
def test_an_http_trigger_may_not_be_called_by_other_sites(origin: str, site: str | None) -> None:
    """Neither by a browser that tells its site nor by an older one that does not."""
    incoming = Incoming(
        method="POST",
        target=PROXY_PATH,
        host=HOST,
        origin=origin,
        fetch_site=site,
        any_fetch_header=site is not None,
    )

    why = denial(incoming, WIRE)

    assert why is not None
    assert why.endswith("pages of other sites are refused")


@pytest.mark.parametrize(
    ("target", "policy", "passes"),
    [(PROXY_PATH, WIRE, True), (WIRE_PATH, WIRE, False), ("/", ADMIN, False)],
    ids=["trigger", "api", "admin"],
)
def test_a_link_from_another_site_leads_to_http_triggers_only(
    target: str, policy: Policy, passes: bool
) -> None:
    """As after signing in elsewhere."""
    incoming = Incoming(
        method="GET",
        target=target,
        host=HOST,
        fetch_site="cross-site",
        fetch_mode="navigate",
        fetch_dest="document",
        any_fetch_header=True,
    )

    why = denial(incoming, policy)

    assert (why is None) is passes


@pytest.mark.parametrize(
    ("method", "mode", "dest"),
    [
        ("POST", "navigate", "document"),
        ("HEAD", "navigate", "document"),
        ("GET", "navigate", "iframe"),
        ("GET", "no-cors", "document"),
        ("GET", "no-cors", "image"),
        ("GET", "cors", "empty"),
        ("GET", None, "document"),
        ("GET", "navigate", None),
    ],
)
def test_whatever_is_not_a_followed_link_is_refused(
    method: str, mode: str | None, dest: str | None
) -> None:
    """Forms, frames, images and scripts of other sites do not reach a function."""
    incoming = Incoming(
        method=method,
        target=PROXY_PATH,
        host=HOST,
        fetch_site="cross-site",
        fetch_mode=mode,
        fetch_dest=dest,
        any_fetch_header=True,
    )

    why = denial(incoming, WIRE)

    assert why == "Sec-Fetch-Site 'cross-site': pages of other sites are refused"


@pytest.mark.parametrize("host", ["evil.example", "localhost:999999"])
def test_nothing_that_is_right_makes_up_for_a_wrong_host(host: str) -> None:
    """A followed link and our own origin do not help."""
    incoming = Incoming(
        method="GET",
        target=PROXY_PATH,
        host=host,
        origin=f"http://{HOST}",
        fetch_site="none",
        fetch_mode="navigate",
        fetch_dest="document",
        any_fetch_header=True,
    )

    why = denial(incoming, WIRE)

    assert why is not None
    assert why.startswith("Host ")


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.10", "::1", "::1%lo"])
def test_the_admin_listener_answers_this_machine(peer: str) -> None:
    """All of loopback, also with a zone."""
    incoming = Incoming(method="GET", target="/", host=HOST, peer=peer)

    why = denial(incoming, LOCAL_ADMIN)

    assert why is None


@pytest.mark.parametrize(
    "peer", [None, "", "172.17.0.2", "192.168.1.2", "0.0.0.0", "fe80::1%eth0", "::", "localhost"]
)
def test_the_admin_listener_refuses_peers_from_elsewhere(peer: str | None) -> None:
    """Containers among them, and peers that have no address."""
    incoming = Incoming(method="GET", target="/", host=HOST, peer=peer)

    why = denial(incoming, LOCAL_ADMIN)

    assert why == "the admin API answers this machine only"


@pytest.mark.parametrize("peer", [None, "172.17.0.2"])
def test_other_listeners_do_not_look_at_the_peer(peer: str | None) -> None:
    """A container may invoke functions."""
    incoming = Incoming(method="POST", target=WIRE_PATH, host=HOST, peer=peer)

    why = denial(incoming, WIRE)

    assert why is None


@pytest.mark.parametrize("target", ["http://[/x", "http://[::1", "https://a\u2100/x"])
def test_a_target_that_is_no_url_is_refused(target: str) -> None:
    """What cannot be read names no host of ours."""
    incoming = Incoming(method="GET", target=target, host="127.0.0.1:3200")

    assert denial(incoming, Policy(port=3200)) is not None


@pytest.mark.parametrize("origin", ["http://[", "http://a\u2100", "https://", "http://[::1"])
def test_an_origin_that_is_no_url_is_refused_on_proxy_paths_too(origin: str) -> None:
    """It is nobody's front end."""
    incoming = Incoming(
        method="POST", target="/2016-08-15/proxy/s/f/", host="127.0.0.1:3200", origin=origin
    )

    assert denial(incoming, Policy(port=3200)) is not None
