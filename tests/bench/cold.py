"""From a call without an instance to its answer, beside the same thing without an emulator.

    .venv/bin/python -m tests.bench.cold [ROUNDS]

Contestants take turns in each round, so that what else the machine does meets all of them alike.
Printed are medians in milliseconds and ratios; the ratios are what counts.
"""

import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter

import docker

from emulator.drivers import container_options as at
from emulator.engine.ports import CodeVersion, InstanceSpec
from emulator.specs import load_runtimes, shipped
from tests.support.docker_engine import IMAGE, docker_words
from tests.support.emulator_process import Emulator, eventually, started, write_files

HANDLER = """
import os

def handler(event, context):
    if event == b"exit":
        os._exit(0)
    return event
"""

FIRST_REQUEST = (
    b"POST /invoke HTTP/1.1\r\nx-fc-request-id: 1\r\nx-fc-function-name: f\r\n"
    b"x-fc-function-handler: index.handler\r\nx-fc-function-memory: 512\r\n"
    b"x-fc-function-timeout: 60\r\ncontent-length: 2\r\n\r\nhi"
)


def instances(emulator: Emulator) -> dict[str, int]:
    """Tell how many instances the function has, by state; those that are ending count as none."""
    items = emulator.admin("/_emulator/functions").json()["items"]
    return dict(items[0]["instances"])


def cold_call(emulator: Emulator) -> float:
    """End the instance, then time the call that needs a new one; in ms."""
    emulator.invoke("project", b"exit")
    eventually(lambda: not any(instances(emulator).values()))
    begun = perf_counter()
    answer = emulator.invoke("project", b"hi")
    assert answer.content == b"hi", answer.text
    return (perf_counter() - begun) * 1000


class Bare:
    """The docker SDK with the same flags, network and image, and one socket: no emulator."""

    def __init__(self, folder: Path, network: str) -> None:
        self._client = docker.APIClient(timeout=60)
        self._folder = folder
        self._network = network
        self._runtime = load_runtimes(shipped("runtimes"))["python3"]

    def __call__(self) -> float:
        """Create, start, connect, ask, be answered; in ms."""
        run = Path(tempfile.mkdtemp(dir="/tmp"))
        run.chmod(0o755)
        os.mkfifo(run / "output")
        keeping = os.open(run / "output", os.O_RDWR | os.O_NONBLOCK)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(run / "socket"))
        listener.listen(1)
        spec = InstanceSpec(
            instance_id=secrets.token_hex(8),
            function_id="project",
            runtime=self._runtime,
            interpreter="python3",
            code=CodeVersion("v", str(self._folder), str(self._folder), "1"),
            env={},
            memory_mb=512,
        )
        options = at.create_options(
            at.container_for(
                spec,
                tag="00000000-bench",
                token="token",
                run=str(run),
                network=self._network,
                nofile=1024,
                endpoint="",
            )
        )
        begun = perf_counter()
        container = self._client.create_container(IMAGE, **options)["Id"]
        self._client.start(container)
        connection, _ = listener.accept()
        while not connection.recv(256).endswith(b"\n"):
            pass
        connection.sendall(FIRST_REQUEST)
        answer = connection.recv(4096)
        took = (perf_counter() - begun) * 1000
        assert answer.endswith(b"hi"), answer
        connection.close()
        listener.close()
        os.close(keeping)
        self._client.remove_container(container, force=True, v=True)
        return took


def interpreter() -> float:
    """Start and end the interpreter that runs the process driver's functions; in ms."""
    begun = perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return (perf_counter() - begun) * 1000


@contextmanager
def contestants() -> Iterator[dict[str, Callable[[], float]]]:
    """Everything that takes part, running."""
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = base / "project"
        folder.mkdir()
        write_files(folder, {"index.py": HANDLER})
        emulators = {}
        for name, words in (
            ("process", ["--driver", "process", "--python", sys.executable]),
            ("docker", docker_words()),
        ):
            home = base / name
            home.mkdir()
            emulators[name] = stack.enter_context(started(folder, *words, home=home))
            emulators[name].invoke("project", b"hi")
        client = docker.APIClient(timeout=60)
        network = client.create_network("fc-emu-bench", options=dict(at.NETWORK_OPTIONS))["Id"]
        stack.callback(client.remove_network, network)
        yield {
            "emulator, docker driver": lambda: cold_call(emulators["docker"]),
            "docker SDK alone": Bare(folder, network),
            "emulator, process driver": lambda: cold_call(emulators["process"]),
            "interpreter alone": interpreter,
        }


def main(rounds: int) -> None:
    """Run and print."""
    with contestants() as each:
        times: dict[str, list[float]] = {name: [] for name in each}
        for _ in range(rounds):
            for name, measure in each.items():
                times[name].append(measure())
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        print(f"{name:26} p50 {medians[name]:7.1f}  min {min(values):7.1f}  max {max(values):7.1f}")
    for ours, alone in (
        ("emulator, docker driver", "docker SDK alone"),
        ("emulator, process driver", "interpreter alone"),
    ):
        print(f"{ours} / {alone}: {medians[ours] / medians[alone]:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
