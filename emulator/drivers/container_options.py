"""With which limits and permissions a container is created; pure.

Each value has its origin beside it. Docker contains accidents and raises the cost of an attack; it
is one kernel shared by all, not a wall against hostile code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.engine.ports import InstanceSpec

STATE_LABEL = "fc-emu.instance"
"""On every object that is ours, with the state's uuid. What lacks it is never touched."""

FUNCTION_LABEL = "fc-emu.function"
INSTANCE_LABEL = "fc-emu.instance-id"

PIDS_LIMIT = 1024
"""Processes and threads of an instance. Source: FC limits, 1,024 processes."""

NOFILE_LIMIT = 100_000
"""Open files of an instance, unless the engine's own limit is lower. Source: FC limits."""

CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID")
"""What root in a container keeps. Measured: with none it cannot read the developer's 0600 files;
with these, `mknod`, `mount` and raw sockets stay refused."""

LOG_OPTIONS = {"max-size": "1m", "max-file": "2"}
"""Of what is printed before our own pipe is in place. Measured: a loop fills 140 MB in 5 s."""

NETWORK_OPTIONS = {"com.docker.network.bridge.enable_icc": "false"}
"""Instances do not reach each other. Measured: without it, they do, on internal bridges too."""

CODE, RUN, RUNTIME = "/code", "/var/fc-emu/run", "/var/fc-emu/runtime"
"""Where an instance finds its code (source: FC), our socket and pipe, and the bootstrap."""

BYTECODE = "/var/fc-emu/bytecode"
"""Where compiled modules of the function go: the code is read-only, and /tmp the function's."""

MB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What is known of a container before it is created.

    ``mounts`` are pairs of a folder here and its place inside, read-only; ``run`` is the folder
    here with socket and pipe. ``nofile`` is the engine's own limit, None when it is not known.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    labels: Mapping[str, str]
    memory_mb: int
    network: str
    run: str
    mounts: Sequence[tuple[str, str]]
    nofile: int | None


def container_for(
    spec: InstanceSpec,
    *,
    tag: str,
    token: str,
    run: str,
    network: str,
    nofile: int | None,
    endpoint: str,
) -> Container:
    """Describe the container of an instance.

    ``tag`` is the state's uuid, ``token`` what the instance says when it connects, ``endpoint``
    where it reaches the emulator, "" when it does not.
    """
    folder, _, bootstrap = spec.runtime.bootstrap.rpartition("/")
    filled = {
        "{interpreter}": spec.interpreter,
        "{bootstrap}": f"{RUNTIME}/{bootstrap}",
        "{code}": CODE,
    }
    places = {"{temp}": "/tmp", "{bytecode}": BYTECODE, "{code}": CODE}
    given = {name: places.get(value, value) for name, value in spec.runtime.env.items()}
    return Container(
        name=f"fc-emu-{tag[:8]}-{spec.instance_id}",
        argv=[filled.get(word, word) for word in spec.runtime.argv],
        env={
            "HOME": "/tmp",
            **given,
            **spec.env,
            **({"FC_EMU_ENDPOINT": endpoint} if endpoint else {}),
            "FC_FUNC_CODE_PATH": CODE,
            "FC_INSTANCE_ID": spec.instance_id,
            "FC_EMU_INSTANCE": spec.instance_id,
            "_FC_EMU_CONNECT": f"unix:{RUN}/socket",
            "_FC_EMU_OUTPUT": f"{RUN}/output",
            "_FC_EMU_TOKEN": token,
        },
        labels={
            STATE_LABEL: tag,
            FUNCTION_LABEL: spec.function_id,
            INSTANCE_LABEL: spec.instance_id,
        },
        memory_mb=spec.memory_mb,
        network=network,
        run=run,
        mounts=[
            (spec.code.folder, CODE),
            (folder, RUNTIME),
            # They are links in the code, so they have to be where those lead.
            *((linked, linked) for linked in spec.code.linked),
        ],
        nofile=nofile,
    )


def create_options(container: Container) -> dict[str, Any]:
    """Give the arguments of the SDK's ``create_container``, all but the image."""
    return {
        "name": container.name,
        "entrypoint": [container.argv[0]],
        "command": list(container.argv[1:]),
        "environment": dict(container.env),
        "labels": dict(container.labels),
        "working_dir": CODE,
        "stdin_open": False,
        "tty": False,
        "host_config": _host_config(container),
    }


def _host_config(container: Container) -> dict[str, Any]:
    memory = container.memory_mb * MB
    limits = [{"Name": "core", "Soft": 0, "Hard": 0}]
    if container.nofile is not None:
        # More than the engine's own limit makes every container fail to start.
        nofile = min(NOFILE_LIMIT, container.nofile)
        limits.append({"Name": "nofile", "Soft": nofile, "Hard": nofile})
    return {
        "Init": True,  # reaps orphans, and SIGTERM ends a program that does not handle it
        "Memory": memory,
        "MemorySwap": memory,  # Memory alone would double through swap
        "PidsLimit": PIDS_LIMIT,
        "Ulimits": limits,
        "CapDrop": ["ALL"],
        "CapAdd": list(CAPABILITIES),
        "SecurityOpt": ["no-new-privileges"],
        "NetworkMode": container.network,
        "LogConfig": {"Type": "json-file", "Config": dict(LOG_OPTIONS)},
        "RestartPolicy": {"Name": "no"},
        "Mounts": [
            {"Type": "bind", "Source": container.run, "Target": RUN, "ReadOnly": False},
            *(
                {"Type": "bind", "Source": here, "Target": there, "ReadOnly": True}
                for here, there in container.mounts
            ),
        ],
    }
