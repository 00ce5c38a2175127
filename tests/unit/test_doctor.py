"""The checks of doctor that look at the machine alone."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from emulator.config import DEFAULT_ADMIN_PORT, Config
from emulator.listen import PortTaken, bind_loopback
from emulator.wiring.doctor import Images
from emulator.wiring.doctor_checks import check_ports, check_proxies, check_watching


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this process listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def test_free_ports_are_let_go_of_again() -> None:
    """A start that follows finds them free; 0 is any."""
    first, *others = bind_loopback(0)
    port = first.getsockname()[1]
    for bound in (first, *others):
        bound.close()

    findings = check_ports(Config(port=port, admin_port=0))

    assert [finding.level for finding in findings] == ["ok", "ok"]
    assert "any" in findings[1].found
    for bound in bind_loopback(port):
        bound.close()


def test_a_taken_port_is_a_problem_that_names_the_holder(taken: int) -> None:
    """In the words of a start that fails for it."""
    wire, admin = check_ports(Config(port=taken, admin_port=0))
    with pytest.raises(PortTaken) as refused:
        bind_loopback(taken)

    assert (wire.level, wire.found) == ("problem", str(refused.value))
    assert "--port" in wire.next_step
    assert admin.level == "ok"


def test_two_ports_must_differ() -> None:
    """Each alone would be free."""
    first, *others = bind_loopback(0)
    port = first.getsockname()[1]
    for bound in (first, *others):
        bound.close()

    levels = [finding.level for finding in check_ports(Config(port=port, admin_port=port))]

    assert levels == ["ok", "problem"]


def test_a_taken_default_of_the_admin_port_is_no_more_than_a_warning() -> None:
    """A start moves on to a free one then; a port that was chosen is another matter."""
    try:
        held = bind_loopback(DEFAULT_ADMIN_PORT)
    except PortTaken:
        held = []  # by somebody else, which will do as well
    try:
        _, admin = check_ports(Config(port=0))
    finally:
        for bound in held:
            bound.close()

    assert admin.level == "warning"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"NO_PROXY": "example.com"},
        {"HTTP_PROXY": ""},
        {"HTTP_PROXY": "http://proxy:1", "NO_PROXY": "localhost, 127.0.0.1"},
        {"https_proxy": "http://proxy:1", "no_proxy": "*"},
    ],
)
def test_no_proxy_stands_between(environ: dict[str, str]) -> None:
    """None is set, or it is not for this machine."""
    assert check_proxies(environ).level == "ok"


@pytest.mark.parametrize(
    ("exceptions", "lacking", "value"),
    [
        ({}, "127.0.0.1 and localhost", "127.0.0.1,localhost"),
        ({"NO_PROXY": "a.com,localhost"}, "127.0.0.1", "a.com,localhost,127.0.0.1"),
        ({"no_proxy": "127.0.0.1"}, "localhost", "127.0.0.1,localhost"),
        (
            {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "a.com"},
            "127.0.0.1 and localhost",
            "127.0.0.1,localhost,a.com",
        ),
    ],
)
def test_a_proxy_that_takes_local_calls_is_a_warning(
    exceptions: dict[str, str], lacking: str, value: str
) -> None:
    """The next step keeps what is excepted, and no password of the proxy is shown."""
    finding = check_proxies({"HTTP_PROXY": "http://me:secret@proxy:1", **exceptions})

    assert finding.level == "warning"
    assert finding.found.endswith(f"NO_PROXY lacks {lacking}")
    assert finding.next_step == f"export NO_PROXY={value} no_proxy={value}"
    assert "secret" not in f"{finding.found} {finding.evidence} {finding.next_step}"


def test_low_limits_on_watching_are_warnings(tmp_path: Path) -> None:
    """The kernel's own files, with its numbers from 2005 and with better ones."""
    (tmp_path / "max_user_watches").write_text("8191\n")
    (tmp_path / "max_user_instances").write_text("128\n")

    watches, instances = check_watching(tmp_path)

    assert (watches.level, instances.level) == ("warning", "ok")
    assert watches.next_step == "sudo sysctl fs.inotify.max_user_watches=524288"
    assert check_watching(tmp_path / "elsewhere") == []


def test_containers_are_made_when_a_start_would_make_them() -> None:
    """``auto`` needs every image, docker each function its own, process none."""
    images = Images({"a": True, "b": False})
    all_there = Images({"a": True, "b": True})

    assert not images.run("a", Config())
    assert all_there.run("a", Config())
    assert images.run("a", Config(driver="docker"))
    assert not images.run("b", Config(driver="docker"))
    assert not all_there.run("a", Config(driver="process"))
    assert not Images({}).run("a", Config(driver="docker"))
