"""``fc-emu images``, with the engine that is there and a registry on loopback."""

import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from tests.support.docker_engine import engine_or_skip
from tests.support.emulator_process import clean_environment, eventually, run_command

pytestmark = pytest.mark.docker

COMMAND_S = 30.0
IMAGE_BYTES = 3_000_000
RUNTIMES = ("python3", "python3.10", "python3.12", "python3.9")

REGISTRY_CONFIG = """\
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {folder}/storage}}
http:
  addr: 127.0.0.1:{port}
"""


@pytest.fixture
def images(home: Path, project: Path) -> "Images":
    """The command, run in an empty folder."""
    engine_or_skip()
    return Images(home, project)


class Images:
    """Runs ``fc-emu images``."""

    def __init__(self, home: Path, project: Path) -> None:
        self.home = home
        self.project = project

    def __call__(self, *words: str, **environ: str) -> "subprocess.CompletedProcess[bytes]":
        return run_command(
            "images", *words, cwd=self.project, environ=clean_environment(self.home, **environ)
        )


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[int]:
    """The port of an empty registry. Where there is none it is skipped, in CI it fails."""
    engine_or_skip()
    program = shutil.which("docker-registry")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("docker-registry is not installed")
        pytest.skip("docker-registry is not installed")
    port = free_port()
    config = tmp_path / "registry.yml"
    config.write_text(REGISTRY_CONFIG.format(folder=tmp_path, port=port))
    with subprocess.Popen(
        [program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            eventually(lambda: answers(port))
            yield port
        finally:
            process.kill()


def test_pull_gets_the_image_and_says_how_many_bytes(images: Images, registry: int) -> None:
    """From the registry that was named; list tells before and after."""
    prefix = f"127.0.0.1:{registry}"
    with new_image(f"{prefix}/python:3.10-slim") as name:
        docker("push", name)
        docker("rmi", name)
        before = listed(images, "--registry", prefix)["python3.10"]

        # The second name of the same image, and what a trailing slash might do.
        done = images("pull", "python3.10", "python3", "--registry", f"{prefix}/")

        after = listed(images, FC_EMU_REGISTRY=prefix)["python3.10"]
        again = images("pull", "python3.10", "--registry", prefix)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    told = done.stderr.decode().splitlines()[-1]
    assert told.startswith(f"{name}: pulled, ")
    assert int(told.split()[2].replace(",", "")) >= IMAGE_BYTES
    assert b"\r" not in done.stderr
    assert (before["image"], before["present"], before["sizeBytes"]) == (name, False, None)
    assert (after["image"], after["present"]) == (name, True)
    assert after["sizeBytes"] >= IMAGE_BYTES
    assert b"pulled, 0 bytes in all" in again.stderr


def test_a_slow_pull_tells_once_a_second_and_ends_at_its_deadline(
    images: Images, registry: int
) -> None:
    """Bytes go up; the deadline is for the whole of it and not for silence."""
    with throttled(registry) as slow, new_image(f"127.0.0.1:{slow}/python:3.10-slim") as name:
        direct = name.replace(str(slow), str(registry))
        docker("tag", name, direct)
        docker("push", direct)
        docker("rmi", direct, name)

        begun = monotonic()
        done = images("pull", "python3.10", "--registry", f"127.0.0.1:{slow}", "--deadline", "3.5")
        took = monotonic() - begun

    *lines, last = done.stderr.decode().splitlines()
    counts = [int(line.split()[1].replace(",", "")) for line in lines]
    assert done.returncode == 1
    assert took < 5.5
    assert 1 <= len(counts) <= 3
    assert counts == sorted(set(counts))
    assert 0 < counts[-1] < IMAGE_BYTES
    assert "within 3.5 s" in last


def test_a_registry_that_is_not_there_is_one_line_with_the_next_step(images: Images) -> None:
    """It names the image and repeats what the engine says."""
    prefix = f"127.0.0.1:{free_port()}"

    done = images("pull", "python3.10", "--registry", prefix)

    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert f"{prefix}/python:3.10-slim could not be pulled from the registry {prefix}" in line
    assert "connection refused" in line
    assert "--registry PREFIX" in line
    assert "images load" in line


def test_an_image_that_the_registry_has_not_is_one_line(images: Images, registry: int) -> None:
    """The first that cannot be had ends it."""
    image = f"127.0.0.1:{registry}/nothing:1"

    done = images("pull", "python3.12", "--image", f"python3.12={image}")

    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert f"{image} could not be pulled" in line
    assert "manifest" in line


def test_a_registry_that_hangs_ends_at_the_deadline(images: Images) -> None:
    """The engine hangs with it; the command does not."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        prefix = f"127.0.0.1:{silent.getsockname()[1]}"
        begun = monotonic()
        done = images("pull", "python3.10", "--registry", prefix, "--deadline", "2")
        took = monotonic() - begun

    line = done.stderr.decode().splitlines()[-1]
    assert done.returncode == 1
    assert 2 <= took < 4
    assert f"{prefix}/python:3.10-slim could not be pulled from the registry {prefix}" in line
    assert "within 2 s" in line
    assert "--registry PREFIX" in line


@pytest.mark.parametrize("verb", [["pull"], ["save", "-o", "x.tar"]])
def test_runtimes_that_are_none_are_exit_2(images: Images, verb: list[str]) -> None:
    """Those that there are are named; so it is when none was asked for."""
    unknown = images(*verb, "python3.10", "python4")
    none = images(*verb)
    both = images(*verb, "python3.10", "--all")
    image = images(*verb, "python3.10", "--image", "python4=x")

    for done in (unknown, none, both, image):
        (line,) = done.stderr.decode().splitlines()
        assert done.returncode == 2
        assert ", ".join(RUNTIMES) in line
    assert b"'python4'" in unknown.stderr


def test_save_and_load_carry_images_in_a_file(images: Images) -> None:
    """Two of them in one; what was in the file before is replaced."""
    (images.project / "images.tar").write_text("older")
    with new_image("fc-emu-test/carried:one") as one, new_image("fc-emu-test/carried:two") as two:
        words = ("--image", f"python3.9={one}", "--image", f"python3.12={two}")
        saved = images("save", "python3.9", "python3.12", *words, "-o", "images.tar")
        docker("rmi", one, two)

        loaded = images("load", "images.tar")

        there = listed(images, *words)
    size = (images.project / "images.tar").stat().st_size
    assert (saved.returncode, saved.stdout) == (0, b""), saved.stderr
    assert f"{one}, {two}, {size:,} bytes" in saved.stderr.decode().replace("images.tar: ", "")
    assert (loaded.returncode, loaded.stderr) == (0, b"")
    assert sorted(loaded.stdout.decode().split()) == [one, two]
    assert there["python3.9"]["present"]
    assert there["python3.12"]["present"]
    assert [path.name for path in images.project.iterdir()] == ["images.tar"]


def test_save_fails_before_it_touches_the_file(images: Images) -> None:
    """An image that is missing, a folder that is, and what is no ordinary file."""
    file = images.project / "images.tar"
    file.write_text("older")
    test_image = ("--image", f"python3.9={engine_or_skip()}")

    missing = images("save", "python3.10", "--registry", "fc-emu-test/none", "-o", "images.tar")
    nowhere = images("save", "python3.9", *test_image, "-o", "none/images.tar")
    device = images("save", "python3.9", *test_image, "-o", "/dev/null")

    assert missing.returncode == 1
    assert b"has no image fc-emu-test/none/python:3.10-slim" in missing.stderr
    assert (nowhere.returncode, device.returncode) == (7, 2)
    assert [path.name for path in images.project.iterdir()] == ["images.tar"]
    assert file.read_text() == "older"


@pytest.mark.parametrize("content", [b"", b"no archive", os.urandom(4096) * 2500], ids=len)
def test_a_file_that_holds_no_images_is_one_line(images: Images, content: bytes) -> None:
    """Also when the engine stops reading before it is sent."""
    (images.project / "images.tar").write_bytes(content)

    done = images("load", "images.tar")

    (line,) = done.stderr.decode().splitlines()
    assert (done.returncode, done.stdout) == (1, b"")
    assert "images.tar could not be loaded" in line
    assert "images save" in line


def test_list_is_a_table(images: Images) -> None:
    """Images of fc-emu.toml; missing ones are said to be."""
    image = engine_or_skip()
    (images.project / "fc-emu.toml").write_text(f'image = ["python3.9={image}"]\nregistry = "r/s"')

    done = images("list")

    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0
    assert lines[0].split() == ["RUNTIME", "SIZE", "IMAGE"]
    assert lines[1].split() == ["python3", "missing", "r/s/python:3.10-slim"]
    assert lines[4].split()[0::3] == ["python3.9", image]
    assert " MB " in lines[4]


def test_without_an_engine_each_is_exit_6(home: Path, project: Path) -> None:
    """In one line that says where it was looked for."""
    nobody = f"unix://{project}/nobody.sock"
    (project / "images.tar").write_bytes(b"")
    images = Images(home, project)

    for words in (
        ["list"],
        ["pull", "--all"],
        ["save", "--all", "-o", "all.tar"],
        ["load", "images.tar"],
    ):
        done = images(*words, DOCKER_HOST=nobody)
        (line,) = done.stderr.decode().splitlines()
        assert done.returncode == 6, words
        assert nobody in line
        assert "DOCKER_HOST" in line


def listed(images: Images, *words: str, **environ: str) -> dict[str, dict[str, Any]]:
    """Give what ``list --json`` says, by runtime."""
    done = images("list", "--json", *words, **environ)
    assert done.returncode == 0, done.stderr
    found = {item["runtime"]: item for item in json.loads(done.stdout)["items"]}
    assert tuple(found) == RUNTIMES
    return found


def docker(*words: str, stdin: bytes = b"") -> None:
    """Run the engine's own client."""
    done = subprocess.run(
        ["docker", *words], input=stdin, capture_output=True, timeout=COMMAND_S, check=False
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def new_image(name: str) -> Iterator[str]:
    """Make an image whose one layer no engine and no registry has; it is gone afterwards."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("random")
        member.size = IMAGE_BYTES
        tar.addfile(member, io.BytesIO(os.urandom(IMAGE_BYTES)))
    docker("import", "-", name, stdin=archive.getvalue())
    try:
        yield name
    finally:
        subprocess.run(["docker", "rmi", name], capture_output=True, timeout=COMMAND_S, check=False)


@contextmanager
def throttled(port: int) -> Iterator[int]:
    """A second port of a server, by which it gives less than a megabyte a second."""

    def down(near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError), near, far:
            while data := far.recv(65_536):
                near.sendall(data)
                sleep(0.1)

    def up(near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while data := near.recv(65_536):
                far.sendall(data)
            far.shutdown(socket.SHUT_WR)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", port))
                for pump in (down, up):
                    threading.Thread(target=pump, args=(near, far), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept, args=(listener,), daemon=True)
        accepting.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()


def answers(port: int) -> bool:
    """Say whether somebody listens there."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def free_port() -> int:
    """Give a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
