"""Functions that invoke functions, by the address that they find in their environment."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from emulator.specs import shipped
from tests.e2e.conftest import Starter
from tests.support.docker_engine import docker_words
from tests.support.emulator_process import Emulator, eventually, write_files

PACKAGES = ("fc2", "requests", "urllib3", "certifi", "idna", "charset_normalizer", "websocket")
"""The official Python SDK and what it needs, as ``pip install --target`` would put it."""

RAW = """
import http.client, json, os
from urllib.parse import urlsplit

def handler(event, context):
    asked = json.loads(event)
    address = urlsplit(os.environ["FC_EMU_ENDPOINT"])
    connection = http.client.HTTPConnection(
        address.hostname, int(asked.get("port") or address.port), timeout=5
    )
    path = asked["path"].replace("{token}", address.path.strip("/"))
    connection.putrequest(asked["method"], path, skip_host=True)
    connection.putheader("Host", asked.get("host") or address.netloc)
    connection.putheader("Content-Length", "0")
    connection.endheaders()
    answer = connection.getresponse()
    return {"status": answer.status, "body": answer.read().decode()}
"""

INVOKE = "/2016-08-15/services/default/functions/project/invocations"


@pytest.mark.parametrize("driver", ["process", pytest.param("docker", marks=pytest.mark.docker)])
def test_the_chain_sample_invokes_with_the_official_sdk(
    start: Starter, tmp_path: Path, driver: str
) -> None:
    """Synchronously and asynchronously."""
    project = tmp_path / "chain"
    shutil.copytree(shipped("samples") / "chain", project)
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.origin is not None
        shutil.copytree(Path(spec.origin).parent, project / "front" / package)
    words = docker_words() if driver == "docker" else ["--driver", "process"]
    emulator = start(project, *words)

    answer = emulator.invoke("front", b"hello")

    assert answer.headers.get("X-Fc-Error-Type") is None, answer.text
    told = json.loads(answer.content)
    assert told["answer"] == "HELLO"
    eventually(lambda: f"back was sent later as {told['later']}" in emulator.stdout())


@pytest.fixture
def raw(start: Starter, project: Path) -> Emulator:
    """A function in a container that sends what it is told to."""
    return start(write_files(project, {"index.py": RAW}), *docker_words())


def ask(emulator: Emulator, **asked: str) -> tuple[int, str]:
    """Have the function send a request; give status and body."""
    answer = emulator.invoke("project", json.dumps(asked))
    told = answer.json()
    assert "status" in told, told
    return told["status"], told["body"]


@pytest.mark.docker
@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/{token}/2016-08-15/services", 403, "ListServices is not open"),
        ("DELETE", "/{token}/2016-08-15/services/s/functions/f", 403, "DeleteFunction is not open"),
        ("POST", INVOKE, 403, "token of an instance"),
        ("POST", "/0123456789abcdef0123456789abcdef" + INVOKE, 403, "bare host as endpoint"),
        ("GET", "/{token}/2016-08-15/proxy/s/f/", 501, "HTTP trigger"),
        ("GET", "/{token}/_emulator/info", 400, "PathNotSupported"),
    ],
)
def test_an_instance_may_invoke_and_administers_nothing(
    raw: Emulator, method: str, path: str, status: int, text: str
) -> None:
    """By its own token only, and what is open to it."""
    found, body = ask(raw, method=method, path=path)

    assert found == status, body
    assert text in body


@pytest.mark.docker
def test_host_may_be_the_whole_endpoint_and_nothing_else(raw: Emulator) -> None:
    """aliyun-fc2 sends it so; another name is refused."""
    refused = ask(raw, method="GET", path="/{token}/2016-08-15/services", host="evil.test")

    assert refused[0] == 403
    assert "Host 'evil.test'" in refused[1]


@pytest.mark.docker
def test_neither_listener_of_the_machine_is_reached_from_an_instance(raw: Emulator) -> None:
    """They are on loopback, and an instance has a loopback of its own."""
    for listener in ("endpoint", "admin"):
        port = raw.ready[listener].rpartition(":")[2]

        answer = raw.invoke("project", json.dumps({"method": "GET", "path": "/", "port": port}))

        assert answer.headers["X-Fc-Error-Type"] == "UnhandledInvocationError"
        assert answer.json()["errorType"] == "ConnectionRefusedError"
