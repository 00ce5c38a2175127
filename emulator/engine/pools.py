"""A pool per function: which code and configuration its instances run, and the switch to new."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from emulator.core.lifecycle import State
from emulator.engine.events import CodeChanged, Event
from emulator.engine.pool import Member, Pool, PoolLimits, PoolRetired
from emulator.engine.ports import CodeSource, CodeVersion, InstanceDriver, InstanceSpec
from emulator.engine.registry import Deployment, Target

_COUNTED = (State.IDLE, State.BUSY, State.STARTING)


@dataclass(frozen=True, slots=True)
class Lease:
    """An instance lent to one request, and the code it runs."""

    member: Member
    version: CodeVersion
    cold: bool


@dataclass(frozen=True, slots=True)
class _Current:
    pool: Pool
    version: CodeVersion
    deployment: Deployment


class Pools:
    """The instances of all functions.

    Args:
        environment: gives the platform's and the function's variables for an instance.
    """

    def __init__(
        self,
        driver: InstanceDriver,
        code: CodeSource,
        *,
        limits: PoolLimits,
        environment: Callable[[Deployment], Mapping[str, str]],
        emit: Callable[[Event], None],
    ) -> None:
        self._driver = driver
        self._code = code
        self._limits = limits
        self._environment = environment
        self._emit = emit
        self._current: dict[str, _Current] = {}
        self._leaving: dict[Pool, _Current] = {}

    @asynccontextmanager
    async def lease(self, target: Target, *, timeout_s: float) -> AsyncIterator[Lease]:
        """Lend an instance that runs the current code of the target.

        Raises:
            NoInstance: none was free within ``timeout_s`` seconds.
            StartFailed: the one started for this caller did not come up.
            CodeUnavailable: there is no code.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            version = await self._code.current(target.function)
            current = self._pool_for(target.deployment, version)
            try:
                member = await current.pool.acquire(max(0.0, deadline - loop.time()))
            except PoolRetired:
                continue
            break
        try:
            yield Lease(member, current.version, cold=member.uses == 1)
        finally:
            current.pool.release(member)

    def code_changed(self, function_id: str, version: CodeVersion) -> None:
        """Let a function's instances of other code end; busy ones after their request."""
        current = self._current.get(function_id)
        if current is not None and current.version.id != version.id:
            self._retire(function_id)
            self._emit(CodeChanged(function=function_id, checksum=version.checksum))

    def counts(self, function_id: str) -> dict[str, int]:
        """Tell how many instances of a function's current code are idle, busy and starting."""
        current = self._current.get(function_id)
        counts = current.pool.counts() if current is not None else {}
        return {state.value: counts.get(state, 0) for state in _COUNTED}

    def checksum(self, function_id: str) -> str | None:
        """Tell the checksum of the code that ran last; None before the first run."""
        current = self._current.get(function_id)
        return current.version.checksum if current is not None else None

    def capacity(self, function_id: str) -> int:
        """Tell how many requests of a function can have an instance; those that still run on
        replaced code take nothing from the others."""
        return self._limits.max_instances + sum(
            leaving.pool.counts().get(State.DRAINING, 0)
            for leaving in self._leaving.values()
            if leaving.deployment.function.id == function_id
        )

    async def close(self) -> None:
        """End every instance, busy or not."""
        pools = [current.pool for current in self._current.values()] + list(self._leaving)
        for function_id in list(self._current):
            self._retire(function_id, "stopping")
        await asyncio.gather(*(pool.close() for pool in pools))

    def _pool_for(self, deployment: Deployment, version: CodeVersion) -> _Current:
        function_id = deployment.function.id
        current = self._current.get(function_id)
        if current is not None:
            if current.version.id == version.id and current.deployment == deployment:
                return current
            self.code_changed(function_id, version)
            self._retire(function_id)
        current = self._current[function_id] = _Current(
            self._new_pool(deployment, version), version, deployment
        )
        self._code.acquire(version)
        return current

    def _new_pool(self, deployment: Deployment, version: CodeVersion) -> Pool:
        assert deployment.runtime is not None
        runtime = deployment.runtime
        function = deployment.function

        def spec() -> InstanceSpec:
            return InstanceSpec(
                instance_id=f"c-{secrets.token_hex(4)}-{secrets.token_hex(8)}",
                function_id=function.id,
                runtime=runtime,
                interpreter=deployment.interpreter,
                code=version,
                env=self._environment(deployment),
                memory_mb=function.memory_size,
            )

        return Pool(
            function.id,
            spec=spec,
            driver=self._driver,
            limits=self._limits,
            emit=self._emit,
            on_empty=self._emptied,
        )

    def _retire(self, function_id: str, why: str = "reload") -> None:
        current = self._current.pop(function_id, None)
        if current is not None:
            self._leaving[current.pool] = current
            current.pool.retire(why)

    def _emptied(self, pool: Pool) -> None:
        self._code.release(self._leaving.pop(pool).version)
