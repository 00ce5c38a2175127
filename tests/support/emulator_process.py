"""``fc-emu start`` as a child process, as its user runs it."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import requests

READY_S = 30.0
STOP_S = 15.0
POLL_S = 0.005


def eventually(condition: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    """Give the first true value of ``condition``; the test fails when none comes in time."""
    deadline = monotonic() + timeout_s
    while not (value := condition()):
        assert monotonic() < deadline, f"not within {timeout_s} s"
        sleep(POLL_S)
    return value


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """A person's environment with a home of its own; bytecode is written, as everywhere."""
    left_out = ("PYTHONDONTWRITEBYTECODE", "PYTHONASYNCIODEBUG", "VIRTUAL_ENV", "XDG_RUNTIME_DIR")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in left_out and not name.startswith("FC_EMU_")
    }
    return {**kept, "HOME": str(home), "XDG_STATE_HOME": str(home / "state"), **more}


@dataclass
class Emulator:
    """A started emulator; ``ready`` is what its ready file holds."""

    process: "subprocess.Popen[bytes]"
    ready: dict[str, Any]
    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)

    @property
    def endpoint(self) -> str:
        return str(self.ready["endpoint"])

    def invoke(
        self,
        function: str,
        payload: bytes | str = b"",
        *,
        service: str = "default",
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> requests.Response:
        """Invoke through the wire API with a plain HTTP client."""
        url = f"{self.endpoint}/2016-08-15/services/{service}/functions/{function}/invocations"
        with requests.Session() as session:
            session.trust_env = False
            return session.post(url, data=payload, headers=headers, timeout=timeout_s)

    def admin(self, path: str, **headers: str) -> requests.Response:
        """Ask the admin API."""
        with requests.Session() as session:
            session.trust_env = False
            return session.get(
                f"{self.ready['admin']}{path}",
                headers=headers or {"X-Fc-Emu-Token": self.ready["token"]},
                timeout=10,
            )

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal and give the exit status."""
        self.process.send_signal(number)
        return self.process.wait(STOP_S)

    def stdout(self) -> str:
        return self.out.decode()

    def stderr(self) -> str:
        return self.err.decode()


def command(*words: str, python: str = sys.executable) -> list[str]:
    """The command line, run by the interpreter of the tests or another that has fc-emu."""
    return [python, "-m", "emulator", *words]


def run_command(
    *words: str, cwd: Path, environ: Mapping[str, str], stdin: bytes = b"", timeout_s: float = 30.0
) -> "subprocess.CompletedProcess[bytes]":
    """Run a command to its end."""
    return subprocess.run(
        command(*words),
        cwd=cwd,
        env=dict(environ),
        input=stdin,
        capture_output=True,
        timeout=timeout_s,
        check=False,
    )


@contextmanager
def started(
    folder: Path,
    *words: str,
    home: Path,
    environ: Mapping[str, str] | None = None,
    python: str = sys.executable,
) -> Iterator[Emulator]:
    """Start an emulator in ``folder`` on free ports; end it when the block is left."""
    ready_file = home / f"ready-{len(list(home.glob('ready-*')))}.json"
    free = ("-p", "0", "--admin-port", "0", "--ready-file", str(ready_file))
    process = subprocess.Popen(
        command("start", *free, *words, python=python),
        cwd=folder,
        env=dict(environ if environ is not None else clean_environment(home)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    emulator = Emulator(process, {})
    readers = [
        threading.Thread(target=_gather, args=(process.stdout, emulator.out)),
        threading.Thread(target=_gather, args=(process.stderr, emulator.err)),
    ]
    for reader in readers:
        reader.start()
    try:
        eventually(lambda: ready_file.exists() or process.poll() is not None, READY_S)
        assert process.poll() is None, emulator.stderr()
        emulator.ready = json.loads(ready_file.read_text())
        yield emulator
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for reader in readers:
            reader.join()
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stderr.close()


def _gather(stream: Any, into: bytearray) -> None:
    while data := stream.read1(65_536):
        into.extend(data)


def write_files(folder: Path, files: Mapping[str, str]) -> Path:
    """Write text files below a folder, which is made."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def processes_of(words: Sequence[str]) -> list[int]:
    """Name the living processes whose command line holds all of these words."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if state != "Z" and all(word in line for word in words):
                found.append(int(entry.name))
    return found
