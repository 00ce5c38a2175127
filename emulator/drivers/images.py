"""Images of an engine: got from a registry, or carried to a machine that has none, as a file."""

import json
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

from emulator.drivers.docker import DockerEngine, EngineError, EngineGone, missing_image

TELL_S = 1.0
"""Between two reports of a pull. Ours."""

LOADED = ("Loaded image: ", "Loaded image ID: ")
"""What the engine puts before the name of an image that it has loaded. Source: docker load."""

TAR_END = bytes(1024)
"""What a whole archive ends with. Source: POSIX.1-2017, pax, ustar interchange format."""

NEXT_STEP = (
    "check the registry's address, name another with --registry PREFIX, "
    "or bring the image in a file with fc-emu images load FILE"
)


class ImageProblem(Exception):
    """What was asked for images cannot be done; the text names the next step."""


class Progress:
    """How far a pull is; its thread writes, anybody reads."""

    def __init__(self) -> None:
        self.image = ""
        self.fetched = 0
        self._layers: dict[str, int] = {}
        self._totals: dict[str, int] = {}

    def take(self, message: dict[str, Any]) -> None:
        """Count what one message of the engine says was fetched.

        Raises:
            EngineError: the message is the end of a pull that failed.
        """
        if "error" in message:
            raise EngineError(str(message["error"]))
        layer = f"{self.image} {message.get('id')}"
        detail = message.get("progressDetail") or {}
        status = message.get("status")
        self._totals[layer] = detail.get("total") or self._totals.get(layer, 0)
        if status == "Downloading":
            self._layers[layer] = detail.get("current", 0)
        elif status in ("Download complete", "Extracting"):
            # The engine tells ten times a second and leaves out the last piece of a layer.
            self._layers[layer] = self._totals[layer]
        self.fetched = sum(self._layers.values())


def pull(
    engine: DockerEngine,
    images: Sequence[str],
    deadline_s: float,
    tell: Callable[[Progress], None],
) -> int:
    """Pull images, one after the other; give the bytes that were fetched.

    The deadline is for all of them together. ``tell`` is called once a second at most. Blocks.

    Raises:
        ImageProblem: the deadline passed, or the engine could not get one.
        EngineGone: the engine does not answer.
    """
    progress = Progress()
    outcome: Future[None] = Future()

    def work() -> None:
        try:
            for image in images:
                progress.image = image
                for message in engine.pull(image):
                    progress.take(message)
        except Exception as error:  # noqa: BLE001 - raised where the outcome is asked for
            outcome.set_exception(error)
        else:
            outcome.set_result(None)

    # A registry that hangs makes the engine hang, and the SDK with it: nobody waits for the thread.
    threading.Thread(target=work, name="pull", daemon=True).start()
    left = deadline_s
    while not wait([outcome], min(left, TELL_S)).done:
        left -= TELL_S
        if left <= 0:
            raise ImageProblem(
                f"{progress.image} could not be pulled from {registry_of(progress.image)} "
                f"within {deadline_s:g} s: {NEXT_STEP}"
            )
        tell(progress)
    try:
        outcome.result()
    except EngineGone:
        raise
    except EngineError as error:
        raise ImageProblem(
            f"{progress.image} could not be pulled from {registry_of(progress.image)}: "
            f"the engine says '{error}': {NEXT_STEP}"
        ) from error
    return progress.fetched


def save(engine: DockerEngine, images: Sequence[str], path: Path) -> int:
    """Write images into one file, which is replaced when all of it is there; give its size.

    Raises:
        ImageProblem: the engine has not all of them, or broke off.
        EngineGone: the engine does not answer.
        OSError: the file cannot be written.
    """
    for image in images:
        if not engine.has_image(image):
            raise ImageProblem(missing_image(image))
    size, tail = 0, b""
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    unfinished = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            for chunk in engine.stream("GET", "/images/get", params={"names": list(images)}):
                file.write(chunk)
                size += len(chunk)
                tail = (tail + chunk)[-len(TAR_END) :]
        if tail != TAR_END:
            # An engine that fails on the way says so in the middle of the archive.
            raise ImageProblem(f"the Docker engine at {engine.address} broke off: save once more")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return size


def load(engine: DockerEngine, path: Path) -> list[str]:
    """Give the engine the images of a file that `save` or ``docker save`` wrote; name them.

    Raises:
        ImageProblem: the file is no such file.
        EngineGone: the engine does not answer.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        try:
            answer = b"".join(
                engine.stream("POST", "/images/load", params={"quiet": "1"}, data=file)
            )
        except EngineGone:
            raise
        except EngineError as error:
            raise ImageProblem(_not_loaded(path, str(error))) from error
    loaded: list[str] = []
    for line in answer.splitlines():
        message = json.loads(line) if line.strip() else {}
        if "error" in message:
            raise ImageProblem(_not_loaded(path, str(message["error"])))
        said = str(message.get("stream", "")).strip()
        loaded.extend(said.removeprefix(mark) for mark in LOADED if said.startswith(mark))
    if not loaded:
        raise ImageProblem(_not_loaded(path, "there is no image in it"))
    return loaded


def registry_of(image: str) -> str:
    """Name the registry that an image's name leads to."""
    first, slash, _ = image.partition("/")
    named = bool(slash) and ("." in first or ":" in first or first == "localhost")
    return f"the registry {first}" if named else "the engine's default registry"


def _not_loaded(path: Path, why: str) -> str:
    return (
        f"{path} could not be loaded: the engine says '{why}': "
        "write the file anew with fc-emu images save RUNTIME -o FILE"
    )
