"""What the engine is given in tests: code without files, events to read, functions to call."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from emulator.core.outcome import Outcome
from emulator.core.refs import DEFAULT_SERVICE, FunctionRef
from emulator.core.request import Context, InvokeOptions, Request
from emulator.core.resources import Function
from emulator.core.runtimes import RuntimeSpec
from emulator.drivers.fake import FakeDriver, Script
from emulator.engine.engine import Engine, World
from emulator.engine.events import Event, InvocationFinished, JobSettled
from emulator.engine.invoker import Account
from emulator.engine.pool import PoolLimits
from emulator.engine.pools import Pools
from emulator.engine.ports import CodeUnavailable, CodeVersion, InstanceSpec
from emulator.engine.registry import Deployment, Registry, Target
from emulator.journal.memory import MemoryJournal
from tests.support.clock import ManualClock

DEADLINE_S = 10.0
"""How long anything may take. Only a broken engine comes near."""

PYTHON = RuntimeSpec(
    name="python3.10",
    family="python",
    version="3.10",
    argv=("{interpreter}", "{bootstrap}"),
    bootstrap="/runtimes/python/bootstrap.py",
    image="python:3.10-slim",
    handler_files=("{module}.py",),
)

ACCOUNT = Account("123456789012", "cn-hangzhou", "key-id", "key-secret", "sts-token")

PLAIN = InvokeOptions()
"""A call without any header that matters."""

E = TypeVar("E")


class Events:
    """Hears what was published, keeps it in order, and lets a test wait for more."""

    def __init__(self) -> None:
        self.all: list[Event] = []
        self._by_kind: dict[type, list[Any]] = defaultdict(list)
        self._more = asyncio.Event()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        self.all.append(event)
        self._by_kind[type(event)].append(event)
        self._more.set()

    def of(self, kind: type[E]) -> list[E]:
        """Give those of one kind."""
        return list(self._by_kind[kind])

    async def wait_for(self, kind: type[E], n: int = 1) -> list[E]:
        """Give those of one kind once there are ``n``."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self._by_kind[kind]) < n:
                self._more.clear()
                await self._more.wait()
        return self.of(kind)


class FakeCode:
    """A CodeSource whose versions are made by ``save``; every function has a first one.

    ``in_use`` counts, by version, what was acquired and not released.
    """

    def __init__(self) -> None:
        self.missing: set[str] = set()
        self.in_use: Counter[str] = Counter()
        self.gate: asyncio.Event | None = None
        self._versions: dict[str, CodeVersion] = {}
        self._numbers = count(1)

    def save(self, function_id: str) -> CodeVersion:
        """Let the function have new code from now on."""
        number = next(self._numbers)
        version = CodeVersion(
            id=f"{function_id}-v{number}",
            folder=f"/versions/{number}",
            source=f"/home/dev/{function_id}",
            checksum=str(number),
        )
        self._versions[function_id] = version
        return version

    async def current(self, function: Function) -> CodeVersion:
        """Give the newest version."""
        if self.gate is not None:
            await self.gate.wait()
        if function.id in self.missing:
            raise CodeUnavailable(f"there is no code folder for {function.id}")
        return self._versions.get(function.id) or self.save(function.id)

    def acquire(self, version: CodeVersion) -> None:
        """Count one more."""
        self.in_use[version.id] += 1

    def release(self, version: CodeVersion) -> None:
        """Count one less; more releases than acquires are an error."""
        self.in_use[version.id] -= 1
        assert self.in_use[version.id] >= 0, f"{version.id} was released too often"
        if not self.in_use[version.id]:
            del self.in_use[version.id]


def a_function(
    name: str = "hello",
    *,
    service: str | None = None,
    timeout_s: int = 60,
    handler: str = "index.handler",
) -> Function:
    """Give a function's configuration."""
    return Function(
        function_name=name,
        service_name=service,
        runtime=PYTHON.name,
        handler=handler,
        timeout=timeout_s,
        memory_size=128,
    )


def a_deployment(
    function: Function | None = None, *, interpreter: str = "/usr/bin/python3", cannot_run: str = ""
) -> Deployment:
    """Give a function that can be served."""
    return Deployment(
        function=function or a_function(),
        runtime=PYTHON,
        interpreter=interpreter,
        cannot_run=cannot_run,
    )


def a_target(deployment: Deployment | None = None, *, service: str = DEFAULT_SERVICE) -> Target:
    """Give a function as a caller named it."""
    deployment = deployment or a_deployment()
    return Target(FunctionRef(service, deployment.function.function_name), deployment)


def a_request(
    payload: bytes = b"event",
    *,
    request_id: str = "request-1",
    timeout_s: float = 60.0,
    handler: str = "index.handler",
) -> Request:
    """Give a call as an instance gets it."""
    context = Context(
        function_name="hello",
        service_name="",
        handler=handler,
        memory_mb=128,
        timeout_s=int(timeout_s),
        region=ACCOUNT.region,
        account_id=ACCOUNT.account_id,
        qualifier="LATEST",
    )
    return Request(id=request_id, payload=payload, timeout_s=timeout_s, context=context)


def a_spec(instance_id: str = "c-1", *, function_id: str = "hello") -> InstanceSpec:
    """Give what a driver is told about an instance."""
    return InstanceSpec(
        instance_id=instance_id,
        function_id=function_id,
        runtime=PYTHON,
        interpreter="/usr/bin/python3",
        code=CodeVersion("v1", "/versions/1", "/home/dev/hello", "1"),
        env={},
        memory_mb=128,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large an engine is."""

    max_instances: int = 16
    idle_timeout_s: float = 3600.0
    max_async: int = 16


USUAL = Size()


class EngineRig:
    """An engine on fakes, and short ways to use it. ``journal`` may be another than the usual."""

    def __init__(self, size: Size = USUAL, journal: MemoryJournal | None = None) -> None:
        self.clock = ManualClock()
        self.driver = FakeDriver()
        self.code = FakeCode()
        self.events = Events()
        self.registry = Registry()
        self.pools = Pools(
            self.driver,
            self.code,
            limits=PoolLimits(size.max_instances, size.idle_timeout_s),
            environment=lambda deployment: {"FC_FUNCTION_NAME": deployment.function.function_name},
            emit=self.events,
        )
        world = World(
            clock=self.clock,
            journal=journal or MemoryJournal(),
            account=ACCOUNT,
            emit=self.events,
            max_async=size.max_async,
        )
        self.engine = Engine(world, self.registry, self.pools)
        self._ids = count(1)

    def add(
        self, name: str, script: Script | None = None, *, timeout_s: int = 60, cannot_run: str = ""
    ) -> Target:
        """Let there be a function, by default one that echoes."""
        if script is not None:
            self.driver.scripts[name] = script
        deployment = a_deployment(a_function(name, timeout_s=timeout_s), cannot_run=cannot_run)
        self.registry.add(deployment)
        return a_target(deployment)

    async def invoke(
        self, target: Target, payload: bytes = b"event", options: InvokeOptions = PLAIN
    ) -> InvocationFinished:
        """Call a function and wait for what becomes of it."""
        return await self.engine.invoke(f"sync-{next(self._ids)}", target, options, payload)

    def calling(
        self, target: Target, payload: bytes = b"event"
    ) -> asyncio.Task[InvocationFinished]:
        """Call a function and go on."""
        return asyncio.ensure_future(self.invoke(target, payload))

    async def submit(self, target: Target, payload: bytes = b"event", *, delay_s: int = 0) -> str:
        """Have a function called later; give the request id."""
        request_id = f"async-{next(self._ids)}"
        await self.engine.submit(request_id, target, InvokeOptions(delay_s=delay_s), payload)
        return request_id

    def settled(self) -> dict[str, Outcome]:
        """Give what became of asynchronous calls, by request id, in the order of their ends."""
        return {event.request_id: event.outcome for event in self.events.of(JobSettled)}

    async def close(self) -> None:
        """Stop at once; nothing may be left of what the engine used."""
        await self.engine.stop(0)
        await self.driver.close()
        assert self.driver.living == []
        assert dict(self.code.in_use) == {}


@dataclass(slots=True)
class Gate:
    """Holds up whoever passes through it until it is opened; ``arrived`` counts them."""

    arrived: int = 0
    _open: asyncio.Event = field(default_factory=asyncio.Event)
    _arrival: asyncio.Event = field(default_factory=asyncio.Event)

    async def passed(self, _: object = None) -> None:
        """Wait until the gate is open."""
        self.arrived += 1
        self._arrival.set()
        await self._open.wait()

    def open(self) -> None:
        """Let everybody pass from now on."""
        self._open.set()

    async def reached(self, n: int = 1) -> None:
        """Return once ``n`` have arrived."""
        async with asyncio.timeout(DEADLINE_S):
            while self.arrived < n:
                self._arrival.clear()
                await self._arrival.wait()


async def all_done(work: Iterable[asyncio.Task[E]]) -> list[E]:
    """Give the results of all, in their order."""
    async with asyncio.timeout(DEADLINE_S):
        return list(await asyncio.gather(*work))
