"""The parts of the engine as one: what the API, the admin API and the tests call."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from emulator.core.errors import ApiError, ErrorCode
from emulator.core.job import Job
from emulator.core.outcome import Outcome, Refused, SystemFailed
from emulator.core.request import InvokeOptions
from emulator.engine.events import Event, InvocationFinished
from emulator.engine.invoker import Account, Call, Invoker
from emulator.engine.pools import Pools
from emulator.engine.ports import Acceptance, Clock, CodeVersion, Journal
from emulator.engine.registry import Registry, Target
from emulator.engine.scheduler import Capacity, Scheduler

STOPPED = "the emulator stopped before the function answered"


@dataclass(frozen=True, slots=True)
class World:
    """What the engine is given: the ports and whom it plays."""

    clock: Clock
    journal: Journal
    account: Account
    emit: Callable[[Event], None]
    max_async: int
    """How many asynchronous invocations run at a time, of all functions."""


class Engine:
    """Resolves, invokes, accepts for later, and stops in good order."""

    def __init__(self, world: World, registry: Registry, pools: Pools) -> None:
        self._world = world
        self.registry = registry
        self.pools = pools
        self.account = world.account
        self._invoker = Invoker(pools, world.account, world.emit)
        self.scheduler = Scheduler(
            world.clock,
            world.journal,
            capacity=Capacity(world.max_async, self._room),
            attempt=self._attempt,
            emit=world.emit,
        )
        self._active: set[asyncio.Task[InvocationFinished]] = set()
        self._sync: Counter[str] = Counter()
        self.stopping = False
        self._stopped = False

    @property
    def durable(self) -> bool:
        """Whether accepted asynchronous work survives the emulator."""
        return self._world.journal.durable

    @property
    def running(self) -> int:
        """How many invocations run or wait for an instance, of both kinds."""
        return len(self._active)

    def tell(self, event: Event) -> None:
        """Publish what an adapter saw."""
        self._world.emit(event)

    def now(self) -> float:
        """Give the instant on the due clock, epoch seconds."""
        return self._world.clock.now()

    def code_changed(self, function_id: str, version: CodeVersion) -> None:
        """Let a function run other code from now on; what waits for room may have got some."""
        self.pools.code_changed(function_id, version)
        self.scheduler.kick()

    def start(self) -> None:
        """Let accepted work run."""
        self.scheduler.start()

    async def invoke(
        self, request_id: str, target: Target, options: InvokeOptions, payload: bytes
    ) -> InvocationFinished:
        """Run a function once and give what became of it.

        A caller who gives up changes nothing: the run goes on and is told as usual.

        Raises:
            ApiError: ResourceThrottled, when the emulator stopped before the function ended.
        """
        call = Call(
            request_id=request_id, target=target, payload=payload, options=options, kind="sync"
        )
        finished = await self._tracked(call)
        if finished is None:
            raise ApiError(ErrorCode.RESOURCE_THROTTLED, STOPPED)
        return finished

    async def submit(
        self, request_id: str, target: Target, options: InvokeOptions, payload: bytes
    ) -> Job:
        """Accept an invocation for later; the delay counts from this moment."""
        now = self._world.clock.now()
        return await self.scheduler.submit(
            Acceptance(
                request_id=request_id,
                ref=target.ref,
                function_id=target.function.id,
                accepted_at=now,
                due_at=now + options.delay_s,
                span_context=options.span_context,
                span_baggages=tuple(sorted(options.span_baggages.items())),
            ),
            payload,
        )

    async def stop(self, grace_s: float) -> None:
        """Take no new work, give running work ``grace_s`` seconds, end every instance."""
        self.stopping = True
        closing = asyncio.ensure_future(self.scheduler.close())
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await asyncio.shield(closing)
                await self._drained()
        self._stopped = True
        for task in self._active:
            task.cancel()
        await self.pools.close()
        await closing

    async def _drained(self) -> None:
        while self._active:
            await asyncio.wait(self._active)

    async def _tracked(self, call: Call) -> InvocationFinished | None:
        """Run a call as a task of its own, which a stop can wait for and then end: None."""
        if self._stopped:
            return None
        task = asyncio.get_running_loop().create_task(self._invoker.invoke(call))
        self._active.add(task)
        self._sync[call.target.function.id] += call.kind == "sync"
        task.add_done_callback(lambda task: self._ended(task, call))
        await asyncio.wait({task})
        return None if task.cancelled() else task.result()

    async def _attempt(self, job: Job, body: bytes) -> Outcome:
        """Run a job against what its name means now."""
        try:
            target = self.registry.resolve(job.ref)
        except ApiError as gone:
            return Refused(gone.code, gone.message)
        options = InvokeOptions(
            span_context=job.span_context, span_baggages=dict(job.span_baggages)
        )
        call = Call(
            request_id=job.request_id, target=target, payload=body, options=options, kind="async"
        )
        finished = await self._tracked(call)
        return SystemFailed(STOPPED) if finished is None else finished.outcome

    def _ended(self, task: asyncio.Task[InvocationFinished], call: Call) -> None:
        self._active.discard(task)
        self._sync[call.target.function.id] -= call.kind == "sync"
        self.scheduler.kick()

    def _room(self, function_id: str) -> int:
        """Tell how many jobs of a function may run: callers who wait for an answer come first."""
        return self.pools.capacity(function_id) - self._sync[function_id]
