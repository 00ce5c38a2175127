"""Instances as Docker containers.

The instance connects to a Unix socket of ours in a folder that it shares with us, and prints into
a named pipe beside it: neither calls nor output pass through the engine. The folder is closed to
other users of the machine, socket and pipe are open to whatever user the instance runs as.
"""

import asyncio
import os
import re
import secrets
import shutil
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from emulator.drivers import container_options as at
from emulator.drivers.connecting import Endpoint, MakeChannel, connected
from emulator.drivers.container_handle import ContainerHandle
from emulator.drivers.docker import (
    CALL_DEADLINE_S,
    DockerEngine,
    EngineError,
    EngineGone,
    ImageMissing,
    NoSuchContainer,
    missing_image,
)
from emulator.drivers.launched import Channel, LaunchedInstance
from emulator.drivers.output import Output, is_platform
from emulator.drivers.shared_folder import named_pipe, probe
from emulator.drivers.sweeping import Sweeper
from emulator.engine.events import Event, LogLine
from emulator.engine.ports import InstanceSpec, StartFailed

CANNOT_EXECUTE = (126, 127)
"""How the init of a container ends whose program is not there. Source: tini, as every shell."""


class Inside(Protocol):
    """How instances reach the emulator: an address for each, with a token of its own."""

    async def open(self, address: str) -> None:
        """Listen on this machine's address in the network of the instances."""
        ...

    def admit(self) -> tuple[str, str] | None:
        """Give an endpoint and its token; None when instances cannot reach the emulator."""
        ...

    def forget(self, token: str) -> None:
        """Let the instance with that token in no more."""
        ...


_OUR_CODE = re.compile(rb"(?<![\w./-])/code(?=/)")


class DockerDriver:
    """Starts a container per instance, from any image that has the runtime's interpreter.

    Args:
        run: a folder of this emulator's own, short and private: one folder per instance below it.
        tag: the state's uuid, on every object that is made.
        environ: what the sweeper needs to find the same engine.
        emit: hears what the instances print.
        endpoint: makes the socket on which an instance is awaited.
        channel: makes the channel over what has connected there.
        inside: gives instances their way back to the emulator.
    """

    name = "docker"

    def __init__(
        self,
        engine: DockerEngine,
        run: Path,
        *,
        tag: str,
        environ: Mapping[str, str],
        emit: Callable[[Event], None],
        endpoint: Callable[[Path], Endpoint],
        channel: MakeChannel,
        inside: Inside,
    ) -> None:
        self._inside = inside
        self._engine = engine
        self._run = run
        self._tag = tag
        self._emit = emit
        self._endpoint = endpoint
        self._channel = channel
        self._sweeper = Sweeper(tag, environ)
        self._handles: dict[str, ContainerHandle] = {}
        self._settling: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()
        self._network = ""
        self._nofile: int | None = None
        self._watching = False
        self._closed = False

    @property
    def sweeper_pid(self) -> int | None:
        """The process that removes what is left when this one is gone; None before any start."""
        return self._sweeper.pid

    async def start(self, spec: InstanceSpec) -> LaunchedInstance:
        """Start an instance; see ``engine.ports.InstanceDriver``."""
        try:
            await self._prepare(spec.runtime.image)
            return await self._start(spec)
        except ImageMissing as error:
            text = missing_image(spec.runtime.image, spec.runtime.name)
            raise StartFailed(text) from error
        except NoSuchContainer as error:
            self._network = ""  # somebody removed it: the next start makes another
            raise StartFailed(str(error)) from error
        except EngineError as error:
            raise StartFailed(str(error), unavailable=isinstance(error, EngineGone)) from error

    async def close(self) -> None:
        """Remove every container and the network of this state. Twice is fine."""
        if self._closed:
            return
        self._closed = True
        if self._watching:
            await asyncio.gather(*(handle.terminate(0) for handle in self._handles.values()))
            await self._sweeper.close(done=await self._finish())
        self._engine.close()
        while self._settling:
            await asyncio.wait(self._settling)
        await asyncio.to_thread(shutil.rmtree, self._run, ignore_errors=True)

    async def _finish(self) -> bool:
        """Remove the network, and the container whose creation was given up half-way; say whether
        nothing is left."""
        try:
            async with asyncio.timeout(CALL_DEADLINE_S):
                await asyncio.to_thread(self._engine.finish, self._tag)
        except (EngineError, TimeoutError):
            return False
        return True

    async def reap(self) -> None:
        """Remove what an earlier run of this state left; before anything is started."""
        with suppress(EngineError):
            await self._engine.call(self._engine.remove_labelled, self._tag)

    async def _prepare(self, image: str) -> None:
        """Before the first container: its sweeper, its network, and what the engine allows."""
        async with self._lock:
            if self._closed:
                raise StartFailed("the emulator is stopping")
            if not self._watching:
                await self._sweeper.start()
                self._engine.watch(self._tag, self._ended, self._look_after)
                self._watching = True
            if not self._network:
                name = f"fc-emu-{self._tag[:8]}-{secrets.token_hex(2)}"
                labels = {at.STATE_LABEL: self._tag}
                self._network = await self._engine.call(
                    self._engine.make_network, name, labels, dict(at.NETWORK_OPTIONS)
                )
                await self._inside.open(
                    await self._engine.call(self._engine.gateway, self._network)
                )
            if self._nofile is None:
                self._nofile = await probe(
                    self._engine, self._folder("probe"), image=image, tag=self._tag
                )

    async def _start(self, spec: InstanceSpec) -> LaunchedInstance:
        token = secrets.token_hex(16)
        folder = self._folder(spec.instance_id[-12:])
        endpoint = self._endpoint(folder / "socket")
        output = self._output(spec, token)
        pipe, reading = named_pipe(folder)
        handle: ContainerHandle | None = None
        endpoint_inside, token_inside = self._inside.admit() or ("", "")
        try:
            await asyncio.get_running_loop().connect_read_pipe(
                lambda: output, os.fdopen(reading, "rb", buffering=0)
            )
            options = at.create_options(
                at.container_for(
                    spec,
                    tag=self._tag,
                    token=token,
                    run=str(folder),
                    network=self._network,
                    nofile=self._nofile or None,
                    endpoint=endpoint_inside,
                )
            )
            container = await self._engine.call(self._engine.create, spec.runtime.image, options)
            handle = self._handles[container] = ContainerHandle(
                self._engine,
                container,
                folder=folder,
                limit_mb=spec.memory_mb,
                on_removed=lambda: self._inside.forget(token_inside),
            )
            await self._engine.call(self._engine.start, container)
            channel = await self._connected(spec, endpoint, token, handle, output)
        except BaseException as error:
            output.close()
            printed = await self._give_up(handle) if handle is not None else b""
            self._inside.forget(token_inside)
            shutil.rmtree(folder, ignore_errors=True)
            if not isinstance(error, StartFailed):
                raise
            if handle is not None and await handle.wait() in CANNOT_EXECUTE:
                told = printed.decode("utf-8", "replace").strip()
                raise StartFailed(
                    f"{spec.interpreter} cannot be run in image {spec.runtime.image}: {told}; "
                    f"name one that has it with --image {spec.runtime.name}=IMAGE"
                ) from error
            error.log += printed
            raise
        finally:
            os.close(pipe)
            endpoint.close()
        return LaunchedInstance(spec.instance_id, handle=handle, channel=channel, output=output)

    async def _give_up(self, handle: ContainerHandle) -> bytes:
        """Remove a container that did not come up; give what it printed past our pipe."""
        printed = b""
        with suppress(EngineError):
            printed = await self._engine.call(self._engine.printed, handle.container)
        await handle.terminate(0)
        self._handles.pop(handle.container, None)
        return printed

    async def _connected(
        self,
        spec: InstanceSpec,
        endpoint: Endpoint,
        token: str,
        handle: ContainerHandle,
        output: Output,
    ) -> Channel:
        async def make(connection: socket.socket) -> Channel:
            handle.identify(connection)
            return await self._channel(connection)

        return await connected(
            endpoint,
            token,
            make,
            handle=handle,
            output=output,
            what=f"{spec.interpreter} of image {spec.runtime.image}",
        )

    def _output(self, spec: InstanceSpec, token: str) -> Output:
        """Read what the instance prints; on our side its code is the user's own file."""
        source = spec.code.source.encode()

        def on_line(request_id: str | None, text: bytes) -> None:
            line = _OUR_CODE.sub(lambda _: source, text.rstrip(b"\r\n"))
            self._emit(
                LogLine(
                    function=spec.function_id,
                    instance=spec.instance_id,
                    request_id=request_id,
                    text=line.decode("utf-8", "replace"),
                    platform=is_platform(text),
                )
            )

        return Output(token, on_line, bytes)

    def _folder(self, name: str) -> Path:
        """Make a folder that a container of any user may use and nobody else can reach."""
        folder = self._run / name
        folder.mkdir()
        folder.chmod(0o755)
        return folder

    def _ended(self, container: str) -> None:
        """Take the death of a container from the engine's events."""
        handle = self._handles.pop(container, None)
        if handle is not None:
            self._settle(handle)

    def _look_after(self) -> None:
        """Ask about every container: the engine was away, or events were not read yet."""
        for handle in list(self._handles.values()):
            self._settle(handle)

    def _settle(self, handle: ContainerHandle) -> None:
        task = asyncio.get_running_loop().create_task(handle.look())
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
