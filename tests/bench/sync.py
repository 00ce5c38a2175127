"""Warm synchronous calls, beside two anchors and three peers.

    .venv/bin/python -m tests.bench.sync [SECONDS]

Anchors: *self*, an aiohttp server that answers itself, and *direct*, the instance's own socket.
Every contestant echoes 100 bytes; `wrk` asks all of them over loopback, in turns. Ratios count.
"""

import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter

from emulator.specs import load_runtimes, shipped
from tests.bench.cold import FIRST_REQUEST
from tests.bench.peers import functions_framework, itself, serverless_offline, serving
from tests.support.docker_engine import docker_words
from tests.support.emulator_process import started, write_files

HANDLER = "def handler(event, context):\n    return event\n"
INVOKE = "/2016-08-15/services/default/functions/project/invocations"
POST = 'wrk.method = "POST"\nwrk.body = string.rep("x", 100)\n'
CLIENTS = (1, 16, 64)
ROUNDS = 3
DIRECT_CALLS = 5000


def direct(folder: Path) -> float:
    """Ask the bootstrap over its own connection, one call after another; p50 in ms."""
    path = folder / "direct.sock"
    bootstrap = load_runtimes(shipped("runtimes"))["python3"].bootstrap
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
        process = subprocess.Popen(
            [sys.executable, bootstrap],
            env={
                "PATH": os.environ["PATH"],
                "FC_FUNC_CODE_PATH": str(folder / "project"),
                "_FC_EMU_CONNECT": f"unix:{path}",
                "_FC_EMU_TOKEN": "t",
            },
            stdout=subprocess.DEVNULL,
        )
        connection, _ = listener.accept()
        with connection:
            connection.recv(256)
            times = []
            for _ in range(DIRECT_CALLS):
                begun = perf_counter()
                connection.sendall(FIRST_REQUEST)
                assert connection.recv(4096).endswith(b"hi")
                times.append((perf_counter() - begun) * 1000)
        process.wait(10)
    return statistics.median(times)


def load(url: str, clients: int, seconds: int, script: Path) -> dict[str, float]:
    """Run wrk; give requests/s, and p50 and p99 in ms."""
    said = subprocess.run(
        ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--latency", "-s", str(script), url],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "Non-2xx" not in said, said
    found = {"rps": float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])}  # type: ignore[index] # wrk prints it
    for name, percent in (("p50", 50), ("p99", 99)):
        value, unit = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)\b", said).groups()  # type: ignore[union-attr] # likewise
        found[name] = float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
    return found


def main(seconds: int) -> None:
    """Run and print."""
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        script = base / "post.lua"
        script.write_text(POST)
        project = base / "project"
        project.mkdir()
        write_files(project, {"index.py": HANDLER})
        urls = {}
        for name, words in (
            ("fc-emu, process", ["--driver", "process", "--python", sys.executable]),
            ("fc-emu, docker", docker_words()),
        ):
            home = base / name
            home.mkdir()
            emulator = stack.enter_context(started(project, *words, "--quiet", home=home))
            urls[name] = emulator.endpoint + INVOKE
        for name, (argv, port) in {
            "self": itself(base),
            "functions-framework": functions_framework(base),
            "serverless-offline": serverless_offline(base, in_process=False),
            "serverless-offline in process": serverless_offline(base, in_process=True),
        }.items():
            urls[name] = stack.enter_context(serving(argv, base, port)) + "/hello"
        print(f"direct: p50 {direct(base):.3f} ms")
        for clients in CLIENTS:
            each: dict[str, list[dict[str, float]]] = {name: [] for name in urls}
            for url in urls.values():
                load(url, clients, 1, script)  # warm
            for _ in range(ROUNDS):
                for name, url in urls.items():
                    each[name].append(load(url, clients, seconds, script))
            report(clients, each)


def report(clients: int, each: dict[str, list[dict[str, float]]]) -> None:
    """Print a table of medians, and what part of *self* each contestant reaches."""
    print(f"{clients} clients")
    medians = {
        name: {key: statistics.median(run[key] for run in runs) for key in ("rps", "p50", "p99")}
        for name, runs in each.items()
    }
    for name, of in medians.items():
        print(
            f"  {name:30} {of['rps']:8.0f}/s  p50 {of['p50']:7.3f}  p99 {of['p99']:8.3f} ms  "
            f"x self {of['rps'] / medians['self']['rps']:.2f}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
