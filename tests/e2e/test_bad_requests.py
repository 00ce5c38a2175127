"""What callers may not do, on the wire and to the admin API, with a good request after each."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.core.limits import MAX_ASYNC_PAYLOAD_BYTES, MAX_SYNC_PAYLOAD_BYTES
from tests.support.emulator_process import Emulator, eventually, started, write_files

INVOKE = "/2016-08-15/services/svc/functions/project/invocations"
SOURCE = """
import os

def handler(event, context):
    with open(os.path.join(os.environ["RUNS"], "runs"), "a") as file:
        file.write("run\\n")
    return str(len(event))
"""


class Answer:
    """An HTTP answer; header names in lower case. ``closed``: the connection ended after it."""

    def __init__(self, head: str, body: bytes) -> None:
        status_line, *lines = head.split("\r\n")
        self.status = int(status_line.split()[1])
        pairs = (line.partition(":") for line in lines)
        self.headers = {name.lower(): value.strip() for name, _, value in pairs}
        self.body = body
        self.closed = False

    def code(self) -> str:
        """The error code in the body."""
        return str(json.loads(self.body)["ErrorCode"])

    def message(self) -> str:
        """The error text in the body."""
        return str(json.loads(self.body)["ErrorMessage"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds project and home; runs are counted in it."""
    return tmp_path_factory.mktemp("bad")


@pytest.fixture(scope="module")
def emulator(place: Path) -> Iterator[Emulator]:
    """One emulator for all of these: none of them may harm it."""
    project = write_files(place / "project", {"index.py": SOURCE})
    home = place / "home"
    home.mkdir()
    with started(project, "-e", f"project.RUNS={place}", home=home) as emulator:
        yield emulator
        assert "Traceback" not in emulator.stderr()


@pytest.fixture(autouse=True)
def expected_runs(emulator: Emulator, place: Path) -> Iterator[list[int]]:
    """After each test a good request is answered, and only what the test says has run."""
    expected = [0]
    before = runs(place)
    yield expected
    assert emulator.invoke("project", b"1234").content == b"4"
    assert runs(place) - before - 1 == expected[0]


def runs(place: Path) -> int:
    """How often the function ran."""
    path = place / "runs"
    return len(path.read_text().splitlines()) if path.exists() else 0


def raw(emulator: Emulator, head: str, body: bytes = b"", *, admin: bool = False) -> Answer:
    """Send a request as it is written; ``HOST`` stands for the right Host."""
    port = int(emulator.ready["admin" if admin else "endpoint"].rpartition(":")[2])
    text = head.rstrip("\n").replace("HOST", f"127.0.0.1:{port}").replace("\n", "\r\n")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"{text}\r\n\r\n".encode() + body)
        received = b""
        while b"\r\n\r\n" not in received and (data := connection.recv(65_536)):
            received += data
        head_bytes, _, rest = received.partition(b"\r\n\r\n")
        answer = Answer(head_bytes.decode("latin-1"), rest)
        missing = int(answer.headers.get("content-length", "0")) - len(rest)
        while missing > 0 and (data := connection.recv(65_536)):
            answer.body += data
            missing -= len(data)
        connection.settimeout(0.3)
        try:
            answer.closed = connection.recv(1) == b""
        except TimeoutError:
            answer.closed = False
        return answer


@pytest.mark.parametrize(
    "host", ["evil.test", "0.0.0.0:9000", "192.168.1.7", "localhost.evil.test"]
)
@pytest.mark.parametrize("line", [f"POST {INVOKE}", "GET /", "DELETE /2016-08-15/services/s"])
def test_foreign_hosts_are_refused_on_every_route(emulator: Emulator, host: str, line: str) -> None:
    """B01, B02: 403, and the text names the option that would allow it."""
    answer = raw(emulator, f"{line} HTTP/1.1\nHost: {host}\nContent-Length: 0")

    assert (answer.status, answer.code()) == (403, "AccessDenied")
    assert "--allow-host" in answer.message()
    assert len(answer.headers["x-fc-request-id"]) == 36


@pytest.mark.parametrize("hosts", ["", "Host: HOST\nHost: HOST\n", "Host: HOST\nHost: evil\n"])
def test_no_host_and_two_hosts_are_refused_and_the_connection_closed(
    emulator: Emulator, hosts: str
) -> None:
    """B03: 400."""
    answer = raw(emulator, f"POST {INVOKE} HTTP/1.1\n{hosts}Content-Length: 0")

    assert answer.status == 400
    assert answer.closed


def test_a_target_that_names_another_host_is_refused(emulator: Emulator) -> None:
    """B04: the absolute form must agree with Host; one that agrees is served."""
    foreign = raw(
        emulator, f"POST http://evil.test{INVOKE} HTTP/1.1\nHost: HOST\nContent-Length: 0"
    )
    own = raw(emulator, "GET http://HOST/_emulator/health HTTP/1.1\nHost: HOST")

    assert (foreign.status, foreign.code()) == (403, "AccessDenied")
    assert own.status == 200


@pytest.mark.parametrize(
    "line",
    [
        f"POST {INVOKE}",
        "GET /2016-08-15/services",
        "DELETE /2016-08-15/services/s",
        "PUT /2016-08-15/services/s",
        f"OPTIONS {INVOKE}",
    ],
)
@pytest.mark.parametrize(
    "header",
    [
        "Origin: https://evil.test",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-origin",
        "Sec-Fetch-Mode: no-cors",
    ],
)
def test_pages_in_a_browser_are_refused(emulator: Emulator, line: str, header: str) -> None:
    """B05, B06: 403 for every method, and never a header that would allow it."""
    answer = raw(
        emulator,
        f"{line} HTTP/1.1\nHost: HOST\n{header}\n"
        "Access-Control-Request-Method: POST\nContent-Length: 0",
    )

    assert (answer.status, answer.code()) == (403, "AccessDenied")
    assert not [name for name in answer.headers if name.startswith("access-control-allow")]


@pytest.mark.parametrize("header", ["", "X-Fc-Emu-Token: wrong\n", "Authorization: Bearer wrong\n"])
def test_admin_without_its_token_is_401(emulator: Emulator, header: str) -> None:
    """B09: for every path but health."""
    for path in ("info", "functions", "queue", "nothing"):
        answer = raw(emulator, f"GET /_emulator/{path} HTTP/1.1\nHost: HOST\n{header}", admin=True)
        assert answer.status == 401
        assert json.loads(answer.body)["error"]["code"] == "Unauthorized"
    assert raw(emulator, "GET /_emulator/health HTTP/1.1\nHost: HOST", admin=True).status == 200


def test_admin_refuses_other_sites_and_accepts_its_own_pages(emulator: Emulator) -> None:
    """The token does not help a foreign page."""
    token = f"X-Fc-Emu-Token: {emulator.ready['token']}"
    statuses = [
        raw(
            emulator, f"GET /_emulator/info HTTP/1.1\nHost: HOST\n{token}\n{header}", admin=True
        ).status
        for header in (
            "Origin: https://evil.test",
            "Sec-Fetch-Site: cross-site",
            f"Origin: {emulator.ready['endpoint']}",
            f"Origin: {emulator.ready['admin']}",
            "Sec-Fetch-Site: same-origin",
        )
    ]

    assert statuses == [403, 403, 403, 200, 200]


@pytest.mark.parametrize(
    "line",
    [
        "GET /",
        "GET /nothing/here",
        f"GET {INVOKE}",
        f"DELETE {INVOKE}",
        "POST /2016-08-15/services/svc/functions/project",
        f"TRACE {INVOKE}",
        "CONNECT 127.0.0.1:80",
        "OPTIONS *",
        f"POST {INVOKE}/more",
    ],
)
def test_what_the_api_does_not_have_is_path_not_supported(emulator: Emulator, line: str) -> None:
    """B13: 400 as JSON, naming method and path."""
    answer = raw(emulator, f"{line} HTTP/1.1\nHost: HOST\nContent-Length: 0")

    method, path = line.split()
    assert (answer.status, answer.code()) == (400, "PathNotSupported")
    assert answer.headers["content-type"] == "application/json"
    assert answer.message() == f"'{method}' against '{path}' is not supported"


def test_options_on_the_invoke_path_tells_a_program_the_methods(emulator: Emulator) -> None:
    """200 with Allow, and nothing for browsers."""
    answer = raw(emulator, f"OPTIONS {INVOKE} HTTP/1.1\nHost: HOST")

    assert answer.status == 200
    assert answer.headers["allow"] == "POST, OPTIONS"


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("GET /2016-08-15/services", "ListServices"),
        ("POST /2016-08-15/services", "CreateService"),
        ("PUT /2016-08-15/services/s/functions/f", "UpdateFunction"),
        ("GET /2016-08-15/proxy/s/f/some/path", "HTTP trigger"),
        ("GET /2016-08-15/layerarn/acs%3Afc%2Fx", "GetLayerVersionByArn"),
        ("POST /2021-04-06/services/s/functions/f/invocations", "API 2021-04-06"),
        ("POST /2023-03-30/functions/f/invocations", "API 2023-03-30"),
    ],
)
def test_documented_operations_that_are_not_emulated_say_so(
    emulator: Emulator, line: str, name: str
) -> None:
    """501 with the operation's name."""
    answer = raw(emulator, f"{line} HTTP/1.1\nHost: HOST\nContent-Length: 0")

    assert (answer.status, answer.code()) == (501, "NotImplemented")
    assert name in answer.message()


@pytest.mark.parametrize(
    "name", ["..%2f..%2fetc", "a%00b", "a" * 129, "a%20b", "%F0%9F%98%80", "", "-a", "1a", "%ff"]
)
def test_names_that_no_function_can_have_are_refused(emulator: Emulator, name: str) -> None:
    """B14: 400 InvalidArgument naming the field."""
    answer = raw(
        emulator,
        f"POST /2016-08-15/services/svc/functions/{name}/invocations HTTP/1.1\nHost: HOST\n"
        "Content-Length: 0",
    )

    assert (answer.status, answer.code()) == (400, "InvalidArgument")
    assert "FunctionName" in answer.message()


@pytest.mark.parametrize(
    ("service", "function", "code"),
    [
        ("svc", "missing", "FunctionNotFound"),
        ("svc.7", "project", "VersionNotFound"),
        ("svc.prod", "project", "AliasNotFound"),
        ("svc.LATEST", "missing", "FunctionNotFound"),
    ],
)
@pytest.mark.parametrize("kind", ["Sync", "Async"])
def test_what_is_not_there_is_named(
    emulator: Emulator, service: str, function: str, code: str, kind: str
) -> None:
    """B15: 404 with the code of what is missing, before anything else is looked at."""
    answer = emulator.invoke(
        function, b"x", service=service, headers={"X-Fc-Invocation-Type": kind}
    )

    assert (answer.status_code, answer.json()["ErrorCode"]) == (404, code)


def test_latest_and_an_empty_qualifier_are_no_qualifier(
    emulator: Emulator, expected_runs: list[int]
) -> None:
    """``svc.LATEST`` and ``svc.`` find the function; so does a path with one doubled slash."""
    expected_runs[0] = 3

    doubled = raw(emulator, f"POST /{INVOKE} HTTP/1.1\nHost: HOST\nContent-Length: 0")

    assert emulator.invoke("project", b"", service="svc.LATEST").status_code == 200
    assert emulator.invoke("project", b"", service="svc.").status_code == 200
    assert doubled.status == 200


@pytest.mark.parametrize("announced", [True, False])
def test_a_sync_body_over_32_mib_is_refused(emulator: Emulator, announced: bool) -> None:
    """B16: at once where its length is announced, else when it has come too far."""
    limit = MAX_SYNC_PAYLOAD_BYTES
    before = resident_mb(emulator)
    if announced:
        head = f"POST {INVOKE} HTTP/1.1\nHost: HOST\nContent-Length: {limit + 1}"
        answer = raw(emulator, head)
    else:
        piece = b"%x\r\n" % (1 << 20) + b"x" * (1 << 20) + b"\r\n"
        head = f"POST {INVOKE} HTTP/1.1\nHost: HOST\nTransfer-Encoding: chunked"
        answer = raw(emulator, head, piece * 32 + b"1\r\nx\r\n0\r\n\r\n")

    assert (answer.status, answer.code()) == (400, "EntityTooLarge")
    assert answer.message() == f"payload size exceeds maximum allowed size ({limit} bytes)"
    if announced:
        assert resident_mb(emulator) - before < 8


def test_a_sync_body_of_32_mib_is_taken(emulator: Emulator, expected_runs: list[int]) -> None:
    """The limit is inclusive; a client may ask first whether to send."""
    expected_runs[0] = 2
    body = b"x" * MAX_SYNC_PAYLOAD_BYTES

    plain = emulator.invoke("project", body)
    asking = raw(
        emulator,
        f"POST {INVOKE} HTTP/1.1\nHost: HOST\nExpect: 100-continue\nContent-Length: 3",
        b"abc",
    )

    assert plain.content == str(len(body)).encode()
    assert asking.status == 100


def test_async_bodies_are_accepted_up_to_128_kib(
    emulator: Emulator, place: Path, expected_runs: list[int]
) -> None:
    """131,072 bytes are taken, one more is not; synchronously it is."""
    expected_runs[0] = 2
    before = runs(place)
    kind = {"X-Fc-Invocation-Type": "Async"}
    over = b"x" * (MAX_ASYNC_PAYLOAD_BYTES + 1)

    refused = emulator.invoke("project", over, headers=kind)
    accepted = emulator.invoke("project", over[1:], headers=kind)
    eventually(lambda: runs(place) == before + 1)

    assert (refused.status_code, refused.json()["ErrorCode"]) == (400, "EntityTooLarge")
    assert accepted.status_code == 202
    assert emulator.invoke("project", over).content == str(len(over)).encode()


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        (
            "X-Fc-Invocation-Type: Foo",
            "InvocationType is set to an invalid value (allowed: Sync | Async, actual: 'Foo')",
        ),
        ("X-Fc-Invocation-Type: async", "(allowed: Sync | Async, actual: 'async')"),
        ("X-Fc-Invocation-Type: Sync\nX-Fc-Invocation-Type: Async", "X-Fc-Invocation-Type"),
        (
            "X-Fc-Log-Type: All",
            "LogType is set to an invalid value (allowed: Tail | None, actual: 'All')",
        ),
        (
            "X-Fc-Invocation-Type: Async\nX-Fc-Log-Type: Tail",
            "LogType is set to an invalid value (allowed: None, actual: 'Tail')",
        ),
    ],
)
def test_headers_with_other_values_are_refused_with_the_services_text(
    emulator: Emulator, headers: str, text: str
) -> None:
    """B21, B24."""
    answer = raw(emulator, f"POST {INVOKE} HTTP/1.1\nHost: HOST\n{headers}\nContent-Length: 0")

    assert (answer.status, answer.code()) == (400, "InvalidArgument")
    assert text in answer.message()


@pytest.mark.parametrize(
    "delay", ["-1", "3601", "1.5", "1e3", "+5", "0x10", "", "١٢", "5, 6", "1s", "9" * 400]
)
def test_delays_outside_the_grammar_queue_nothing(emulator: Emulator, delay: str) -> None:
    """B22: 400 naming the header; the queue stays empty."""
    answer = raw(
        emulator,
        f"POST {INVOKE} HTTP/1.1\nHost: HOST\nX-Fc-Invocation-Type: Async\n"
        f"X-Fc-Async-Delay: {delay}\nContent-Length: 0",
    )

    assert (answer.status, answer.code()) == (400, "InvalidArgument")
    assert "X-Fc-Async-Delay" in answer.message()
    assert emulator.admin("/_emulator/info").json()["counts"]["pending"] == 0


def test_a_repeated_delay_is_refused(emulator: Emulator) -> None:
    """B22: even with the same value."""
    answer = raw(
        emulator,
        f"POST {INVOKE} HTTP/1.1\nHost: HOST\nX-Fc-Invocation-Type: Async\n"
        "X-Fc-Async-Delay: 5\nX-Fc-Async-Delay: 5\nContent-Length: 0",
    )

    assert (answer.status, answer.code()) == (400, "InvalidArgument")
    assert "X-Fc-Async-Delay" in answer.message()


def test_a_delay_without_async_has_no_effect_and_is_said(
    emulator: Emulator, expected_runs: list[int]
) -> None:
    """Not even its grammar is looked at."""
    expected_runs[0] = 1

    answer = emulator.invoke("project", b"", headers={"X-Fc-Async-Delay": "x"})

    assert answer.content == b"0"
    eventually(lambda: "X-Fc-Async-Delay has no effect" in emulator.stderr())


def test_task_mode_says_that_it_is_not_emulated(emulator: Emulator) -> None:
    """501 and not a plain message that nobody could ask about."""
    answer = emulator.invoke(
        "project",
        b"",
        headers={
            "X-Fc-Invocation-Type": "Async",
            "X-Fc-Stateful-Async-Invocation-Enable": "true",
        },
    )

    assert (answer.status_code, answer.json()["ErrorCode"]) == (501, "NotImplemented")


def test_answers_of_ours_carry_the_headers_that_keep_pages_out(emulator: Emulator) -> None:
    """nosniff, same-origin, no-store; canonical case; compact JSON with the code first."""
    answer = emulator.invoke("missing")

    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "X-Fc-Request-Id" in list(answer.headers)
    assert answer.content.startswith(b'{"ErrorCode":"FunctionNotFound","ErrorMessage":"')


def test_a_trace_id_of_uuid_shape_is_the_request_id(
    emulator: Emulator, expected_runs: list[int]
) -> None:
    """Other shapes are ignored."""
    expected_runs[0] = 2
    uuid = "0e3a5f0c-9f4e-4d8a-a2c1-1c2b3d4e5f60"

    used = emulator.invoke("project", headers={"X-Fc-Trace-Id": uuid})
    ignored = emulator.invoke("project", headers={"X-Fc-Trace-Id": "my-trace"})

    assert used.headers["X-Fc-Request-Id"] == uuid
    assert len(ignored.headers["X-Fc-Request-Id"]) == 36


def resident_mb(emulator: Emulator) -> float:
    """Memory of the emulator's own process."""
    status = Path(f"/proc/{emulator.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
