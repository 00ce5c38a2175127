"""The Docker engine, asked from the event loop; the only module that imports the docker SDK.

The SDK blocks, so each call runs in one of a few threads of our own and has a deadline. One more
thread reads the engine's event stream: that is how the death of a container is known.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

import docker
import docker.errors
import docker.utils
import requests
import urllib3

from emulator.drivers.container_options import STATE_LABEL

CALL_DEADLINE_S = 10
"""What one call to the engine may take. Ours: a start takes 0.3 s, and ten times that on a busy
disk."""

PROBE_DEADLINE_S = 2
"""What an engine gets to answer whether it is there at all. Ours: the 2 s of promise P16."""

STREAM_SILENCE_S = 300
"""How long the engine may be silent while images are written or read. Ours: it packs all layers
before it sends the first byte."""

CONTROL_THREADS = 8
"""Calls to the engine at a time. Source: design, "Blocking worlds"."""

RECONNECT_S = 0.5
"""Between attempts to read the event stream of an engine that is gone. Ours."""

P = ParamSpec("P")
R = TypeVar("R")


class EngineError(Exception):
    """The engine refused a call; the text is its own."""


class EngineGone(EngineError):
    """The engine does not answer; the text names the socket and what to do."""


class ImageMissing(EngineError):
    """The engine has no such image; the text says how to get it."""


class NoSuchContainer(EngineError):
    """The container is gone."""


def connect(environ: Mapping[str, str]) -> "DockerEngine":
    """Connect to the engine that ``DOCKER_HOST``, the docker context or the default names. Blocks.

    Raises:
        EngineGone: none answers there, or this user may not speak to it.
    """
    address = environ.get("DOCKER_HOST") or _context_host(environ) or DEFAULT_ADDRESS
    try:
        given = docker.utils.kwargs_from_env(environment={"PATH": "", **environ})
        given["base_url"] = address
        client = docker.APIClient(timeout=PROBE_DEADLINE_S, **given)
        client.timeout = CALL_DEADLINE_S
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise EngineGone(_why_gone(address, error)) from error
    return DockerEngine(client, address)


DEFAULT_ADDRESS = "unix:///var/run/docker.sock"


class DockerEngine:
    """One engine. Blocking methods have no ``await``; ``call`` runs them off the loop."""

    def __init__(self, client: docker.APIClient, address: str) -> None:
        self.address = address
        self._client = client
        self._threads = ThreadPoolExecutor(CONTROL_THREADS, thread_name_prefix="docker")
        self._closed = threading.Event()
        self._stream: Any = None

    async def call(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run one blocking method of this class within its deadline.

        Raises:
            EngineError: one of its kinds; a deadline that passed is `EngineGone`.
        """
        if self._closed.is_set():
            raise EngineGone("the emulator is stopping")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CALL_DEADLINE_S):
                return await loop.run_in_executor(self._threads, lambda: work(*args, **kwargs))
        except TimeoutError:
            raise EngineGone(
                f"the Docker engine at {self.address} did not answer within {CALL_DEADLINE_S} s"
            ) from None

    def version(self) -> str:
        """Give the engine's own version, as in ``20.10.24``."""
        return str(self._ask(self._client.version)["Version"])

    def has_image(self, image: str) -> bool:
        """Say whether the engine has an image; nothing is ever pulled."""
        return self.image_size(image) is not None

    def image_size(self, image: str) -> int | None:
        """Give an image's size in bytes; None when the engine has no such image."""
        try:
            return int(self._ask(self._client.inspect_image, image)["Size"])
        except (ImageMissing, NoSuchContainer):
            return None

    def pull(self, image: str) -> Iterator[dict[str, Any]]:
        """Pull an image; gives the engine's messages as they come, with no deadline."""
        return self._read(self._client.pull, image, stream=True, decode=True)

    def stream(self, method: str, path: str, **request: Any) -> Iterator[bytes]:
        """Ask for what takes longer than a call, past the SDK; gives the answer as it comes."""

        def ask() -> Iterator[bytes]:
            # A connection that was used keeps its last call's deadline while a body is sent.
            self._client.close()
            url = f"{self._client.base_url}/v{self._client.api_version}{path}"
            request.update(stream=True, timeout=STREAM_SILENCE_S)
            answer = self._client.request(method, url, **request)
            try:
                answer.raise_for_status()
            except requests.HTTPError as error:
                docker.errors.create_api_error_from_http_exception(error)
            return iter(answer.iter_content(65_536))

        return self._read(ask)

    def create(self, image: str, options: Mapping[str, Any]) -> str:
        """Create a container and give its id."""
        try:
            made = self._ask(self._client.create_container, image, **options)
        except NoSuchContainer as error:  # 404 of a creation is about its image
            raise ImageMissing(missing_image(image)) from error
        return str(made["Id"])

    def start(self, container: str) -> None:
        """Start a container that was created."""
        self._ask(self._client.start, container)

    def signal(self, container: str, name: str) -> None:
        """Send a signal to the first process; nothing happens when the container has ended."""
        with suppress(NoSuchContainer, EngineError):
            self._ask(self._client.kill, container, name)

    def inspect(self, container: str) -> dict[str, Any]:
        """Describe a container as the engine does."""
        return dict(self._ask(self._client.inspect_container, container))

    def printed(self, container: str) -> bytes:
        """Give what a container printed where the engine reads it."""
        return bytes(self._ask(self._client.logs, container, tail=100))

    def remove(self, container: str) -> None:
        """End and remove a container with its volumes; one that is gone is fine."""
        with suppress(NoSuchContainer):
            self._ask(self._client.remove_container, container, v=True, force=True)

    def make_network(self, name: str, labels: Mapping[str, str], options: dict[str, str]) -> str:
        """Make a bridge and give its id."""
        made = self._ask(
            self._client.create_network,
            name,
            driver="bridge",
            options=options,
            labels=dict(labels),
            check_duplicate=True,
        )
        return str(made["Id"])

    def gateway(self, network: str) -> str:
        """Give this machine's address in a network; "" where the engine names none."""
        configs = self._ask(self._client.inspect_network, network)["IPAM"]["Config"] or [{}]
        return str(configs[0].get("Gateway", ""))

    def remove_labelled(self, state_uuid: str) -> list[str]:
        """Remove every container and network of a state; give the ids of the containers."""
        filters = {"label": f"{STATE_LABEL}={state_uuid}"}
        found = self._ask(self._client.containers, all=True, quiet=True, filters=filters)
        for container in found:
            self.remove(container["Id"])
        for network in self._ask(self._client.networks, filters=filters):
            with suppress(EngineError):
                self._ask(self._client.remove_network, network["Id"])
        return [str(container["Id"]) for container in found]

    def watch(
        self,
        state_uuid: str,
        on_end: Callable[[str], None],
        on_connected: Callable[[], None],
    ) -> None:
        """Hear of deaths of a state's containers, on this loop, until ``close``.

        ``on_connected`` is called when the stream is (again) read: look after what may have
        happened before.
        """
        loop = asyncio.get_running_loop()

        def tell(what: Callable[..., None], *args: str) -> None:
            with suppress(RuntimeError):  # the loop is closed, and nobody listens any more
                loop.call_soon_threadsafe(what, *args)

        def listen() -> None:
            filters = {"type": "container", "event": ["die", "destroy"]}
            filters["label"] = f"{STATE_LABEL}={state_uuid}"
            while not self._closed.is_set():
                with suppress(EngineError, *_BROKEN):
                    self._stream = self._ask(self._client.events, decode=True, filters=filters)
                    tell(on_connected)
                    for event in self._stream:
                        tell(on_end, str(event["Actor"]["ID"]))
                self._closed.wait(RECONNECT_S)

        threading.Thread(target=listen, name="docker-events", daemon=True).start()

    def finish(self, state_uuid: str) -> None:
        """Let calls that are under way end, then remove what they and others have made. Blocks."""
        self._closed.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self.remove_labelled(state_uuid)

    def close(self) -> None:
        """Ask no more. Twice is fine."""
        self._closed.set()
        if self._stream is not None:
            with suppress(*_BROKEN):
                self._stream.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _ask(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the SDK; its exceptions become ours."""
        try:
            return work(*args, **kwargs)
        except docker.errors.NotFound as error:
            raise NoSuchContainer(error.explanation or str(error)) from error
        except docker.errors.APIError as error:
            raise EngineError(error.explanation or str(error)) from error
        except _BROKEN as error:
            raise EngineGone(_why_gone(self.address, error)) from error

    def _read(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Call the SDK for a stream; what breaks while it is read becomes ours as well."""
        stream = self._ask(work, *args, **kwargs)
        while (item := self._ask(next, stream, None)) is not None:
            yield item


_BROKEN = (
    AttributeError,  # a stream that is closed while it is read
    OSError,
    ValueError,
    docker.errors.DockerException,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
)


def missing_image(image: str, runtime: str = "RUNTIME") -> str:
    """Say that an image is not there, and the next step; ``runtime`` is one that runs in it."""
    return (
        f"the Docker engine has no image {image}, and fc-emu pulls none by itself: "
        f"fc-emu images pull {runtime}, or name one that is there with --image {runtime}=IMAGE"
    )


def _context_host(environ: Mapping[str, str]) -> str:
    """Give the address that the docker command's current context names; "" for the default."""
    with suppress(Exception):  # whatever is wrong with that file, the default may be right
        context = docker.ContextAPI.get_context(environ.get("DOCKER_CONTEXT"))
        return str(context.Host or "") if context is not None else ""
    return ""


def _why_gone(address: str, error: BaseException) -> str:
    text = str(error)
    if "Permission denied" in text or "PermissionError" in text:
        return (
            f"this user may not speak to the Docker engine at {address}: "
            "add the user to the group docker (usermod -aG docker USER) and log in again"
        )
    if "Read timed out" in text or "timed out" in text:
        return f"the Docker engine at {address} does not answer in time: is it busy or stopped?"
    return f"no Docker engine answers at {address}: start it, or name another with DOCKER_HOST"
