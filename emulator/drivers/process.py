"""Instances as child processes, for machines without Docker. They are isolated from nothing."""

import asyncio
import os
import secrets
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from emulator.drivers.connecting import Endpoint, MakeChannel, connected
from emulator.drivers.helper import Child, Helper, SpawnError
from emulator.drivers.launched import LaunchedInstance
from emulator.drivers.output import Output, is_platform
from emulator.engine.events import Event, LogLine
from emulator.engine.ports import InstanceSpec, StartFailed


@dataclass(frozen=True, slots=True)
class ProcessPaths:
    """Folders of the driver's own: ``sockets`` short and private, ``temp`` one per instance
    below it, ``bytecode`` shared by all code versions, whose folders keep their entries apart."""

    sockets: Path
    temp: Path
    bytecode: Path


class ProcessHandle:
    """A child process, its group and whatever it started."""

    out_of_memory = False  # no limit is set, so none can be met

    def __init__(self, child: Child, *, temp: Path, output: Output) -> None:
        self._child = child
        self._temp = temp
        self._output = output
        self._peak_mb: float | None = None

    def peak_mb(self) -> float | None:
        """Most resident memory of the main process so far, in MB."""
        with suppress(OSError):
            status = Path(f"/proc/{self._child.pid}/status").read_text()
            for line in status.splitlines():
                if line.startswith("VmHWM:"):
                    self._peak_mb = int(line.split()[1]) / 1024
        return self._peak_mb

    async def wait(self) -> int | None:
        """Return once the main process is gone; a signal counts as 128 + its number."""
        exit_ = await self._child.wait()
        if exit_.max_rss_kb:
            self._peak_mb = exit_.max_rss_kb / 1024
        return 128 + exit_.signal if exit_.signal is not None else exit_.code

    async def terminate(self, grace_s: float) -> None:
        """Send SIGTERM to the group, wait ``grace_s``, then remove everything that is left."""
        if grace_s > 0:
            self._child.signal(signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._child.wait()
        await self._child.end()
        await self.wait()
        await asyncio.to_thread(shutil.rmtree, self._temp, ignore_errors=True)


class ProcessDriver:
    """Starts a function's interpreter with our bootstrap, through the helper process.

    Args:
        paths: folders that exist and belong to this emulator.
        tag: the state's uuid, given to every process so that a later run knows them.
        emit: hears what the instances print.
        endpoint: makes the transport's end for an instance, given a path for its socket.
        channel: makes the channel over what has connected there.
    """

    name = "process"

    def __init__(
        self,
        paths: ProcessPaths,
        *,
        tag: str,
        emit: Callable[[Event], None],
        endpoint: Callable[[Path], Endpoint],
        channel: MakeChannel,
    ) -> None:
        self._paths = paths
        self._endpoint = endpoint
        self._channel = channel
        self._tag = tag
        self._emit = emit
        self._helper: Helper | None = None
        self._lock = asyncio.Lock()
        self._closed = False

    async def start(self, spec: InstanceSpec) -> LaunchedInstance:
        """Start an instance; see ``engine.ports.InstanceDriver``."""
        helper = await self._running_helper()
        token = secrets.token_hex(16)
        temp = self._paths.temp / spec.instance_id
        temp.mkdir(mode=0o700)
        endpoint = self._endpoint(self._paths.sockets / f"{spec.instance_id[-12:]}.sock")
        try:
            return await self._launch(helper, spec, endpoint, token, temp)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, temp, ignore_errors=True)
            raise
        finally:
            endpoint.close()

    async def close(self) -> None:
        """End the helper and with it everything that it started."""
        self._closed = True
        if self._helper is not None:
            await self._helper.close()

    async def _running_helper(self) -> Helper:
        """Give the helper; start it, or another when it was killed."""
        async with self._lock:
            if self._closed:
                raise StartFailed("the emulator is stopping")
            if self._helper is None or self._helper.dead:
                if self._helper is not None:
                    await self._helper.sweep()
                helper = Helper()
                await helper.start()
                await helper.remove_at_end(self._paths.temp)
                await helper.remove_at_end(self._paths.sockets)
                self._helper = helper
            return self._helper

    async def _launch(
        self, helper: Helper, spec: InstanceSpec, endpoint: Endpoint, token: str, temp: Path
    ) -> LaunchedInstance:
        output = self._output(spec, token)
        reading, writing = os.pipe()
        try:
            await asyncio.get_running_loop().connect_read_pipe(
                lambda: output, os.fdopen(reading, "rb", buffering=0)
            )
            child = await helper.spawn(
                spec.instance_id,
                self._argv(spec),
                self._environment(spec, endpoint, token, temp),
                spec.code.folder,
                writing,
            )
        except SpawnError as error:
            output.close()
            raise StartFailed(str(error)) from error
        finally:
            os.close(writing)
        handle = ProcessHandle(child, temp=temp, output=output)
        try:
            channel = await connected(
                endpoint,
                token,
                self._channel,
                handle=handle,
                output=output,
                what=spec.interpreter,
            )
        except BaseException:
            await handle.terminate(0)
            output.close()
            raise
        return LaunchedInstance(spec.instance_id, handle=handle, channel=channel, output=output)

    def _output(self, spec: InstanceSpec, token: str) -> Output:
        """Read what the instance prints; on our side its code is the user's own file."""
        folder = spec.code.folder.encode()
        source = spec.code.source.encode()

        def on_line(request_id: str | None, text: bytes) -> None:
            line = text.rstrip(b"\r\n").replace(folder, source).decode("utf-8", "replace")
            self._emit(
                LogLine(
                    function=spec.function_id,
                    instance=spec.instance_id,
                    request_id=request_id,
                    text=line,
                    platform=is_platform(text),
                )
            )

        return Output(token, on_line, lambda text: text.replace(folder, b"/code"))

    def _argv(self, spec: InstanceSpec) -> list[str]:
        filled = {
            "{interpreter}": spec.interpreter,
            "{bootstrap}": spec.runtime.bootstrap,
            "{code}": spec.code.folder,
        }
        return [filled.get(word, word) for word in spec.runtime.argv]

    def _environment(
        self, spec: InstanceSpec, endpoint: Endpoint, token: str, temp: Path
    ) -> dict[str, str]:
        """Build the environment from nothing: the platform's names, then the function's."""
        places = {
            "{temp}": str(temp),
            "{bytecode}": str(self._paths.bytecode),
            "{code}": spec.code.folder,
        }
        given = {name: places.get(value, value) for name, value in spec.runtime.env.items()}
        own = {
            name: _here(name, value, spec.code.folder) if name in SEARCH_PATHS else value
            for name, value in spec.env.items()
        }
        return {
            "PATH": DEFAULT_PATH,
            "HOME": str(temp),
            "TMPDIR": str(temp),
            **given,
            **own,
            "FC_FUNC_CODE_PATH": spec.code.folder,
            "FC_INSTANCE_ID": spec.instance_id,
            "FC_EMU_TAG": self._tag,
            "FC_EMU_INSTANCE": spec.instance_id,
            "_FC_EMU_CONNECT": endpoint.address,
            "_FC_EMU_TOKEN": token,
        }


DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where a function finds programs, unless its own variables say otherwise. Source: the images."""

SEARCH_PATHS = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "NODE_PATH")
"""Variables that projects write for the folders of the cloud's images. Source: real projects."""


def _here(name: str, value: str, code: str) -> str:
    """Give a search path as it makes sense outside a container.

    ``/code`` is the code folder, folders that are not there are left out, and programs of this
    machine are found behind those of the project.
    """
    moved = [
        code + entry.removeprefix("/code") if (entry + "/").startswith("/code/") else entry
        for entry in value.split(":")
    ]
    found = [entry for entry in moved if Path(entry).is_dir()]
    return ":".join([*found, DEFAULT_PATH] if name == "PATH" else found)
