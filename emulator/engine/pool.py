"""The instances of one function version.

Callers wait in line, first in, first out. Whenever something changes (a caller comes, an
instance is ready, freed or gone) ``_fill`` serves the line from the front by what
``core.pool.choose`` decides. There is no await between a choice and its claim.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from emulator.core.lifecycle import Event, State, step
from emulator.core.pool import Reuse, Slot, Start, choose, overdue
from emulator.engine.events import Event as EngineEvent
from emulator.engine.events import Fault, InstanceStarted, InstanceStopped
from emulator.engine.ports import Instance, InstanceDriver, InstanceSpec, StartFailed

STOP_GRACE_S = 1.0
"""What an instance gets between SIGTERM and SIGKILL when it is idle or its code is replaced."""


class PoolRetired(Exception):
    """The code was replaced while a caller waited; the caller's place is in the next pool."""


class NoInstance(Exception):
    """No instance was free in time."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """``max_instances`` of one function at a time; idle ones end after ``idle_timeout_s``."""

    max_instances: int
    idle_timeout_s: float


@dataclass(slots=True, eq=False)
class Member:
    """One instance of a pool and where it is in its life; owned by its pool."""

    id: str
    last_used: float
    state: State = State.STARTING
    instance: Instance | None = None
    uses: int = 0
    start_ms: float = 0.0
    why_stopped: str = "exited"
    starting: asyncio.Task[None] | None = None
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class Pool:
    """Starts instances as callers need them, lends each to one at a time, ends idle ones.

    Args:
        function: id of the function, for events.
        spec: makes what the driver is given for a new instance.
        on_empty: called when the pool is retired and its last instance is gone.
    """

    def __init__(
        self,
        function: str,
        *,
        spec: Callable[[], InstanceSpec],
        driver: InstanceDriver,
        limits: PoolLimits,
        emit: Callable[[EngineEvent], None],
        on_empty: Callable[["Pool"], None],
    ) -> None:
        self._function = function
        self._spec = spec
        self._driver = driver
        self._limits = limits
        self._emit = emit
        self._on_empty = on_empty
        self._members: dict[str, Member] = {}
        self._line: deque[asyncio.Future[Member]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._retired = False
        self._idle_timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def waiting(self) -> int:
        """How many callers are in line."""
        return sum(not place.done() for place in self._line)

    def counts(self) -> dict[State, int]:
        """Tell how many instances are in each state."""
        return dict(Counter(member.state for member in self._members.values()))

    async def acquire(self, timeout_s: float) -> Member:
        """Wait in line for an instance and claim it; give it back with ``release``.

        Raises:
            NoInstance: none was free within ``timeout_s`` seconds.
            PoolRetired: the code was replaced meanwhile.
            StartFailed: the instance that was started for this caller did not come up.
        """
        if self._retired:
            raise PoolRetired
        place: asyncio.Future[Member] = self._loop.create_future()
        self._line.append(place)
        self._fill()
        try:
            async with asyncio.timeout(timeout_s):
                return await place
        except BaseException as error:
            self._leave(place)
            if isinstance(error, TimeoutError):
                raise NoInstance from None
            raise

    def release(self, member: Member) -> None:
        """Take an instance back; one that is not fit for another request is ended."""
        member.last_used = self._loop.time()
        if member.state in (State.STOPPING, State.STOPPED):
            return
        assert member.instance is not None
        if member.instance.reusable:
            if self._step(member, Event.FREED) is State.STOPPING:
                self._end(member, "reload")
        else:
            self._step(member, Event.STOP)
            self._end(member, "unfit")
        self._fill()

    def retire(self, why: str = "reload") -> None:
        """Lend no more: idle instances end now, busy ones when their request is done."""
        if self._retired:
            return
        self._retired = True
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_exception(PoolRetired())
        for member in list(self._members.values()):
            self._step(member, Event.RETIRED)
            if member.state is State.STOPPING:
                self._end(member, why)
        self._leave_if_empty()

    async def close(self) -> None:
        """End every instance, busy or not; return once all are gone."""
        self.retire("stopping")
        members = list(self._members.values())
        for member in members:
            if member.instance is None and member.starting is not None:
                member.starting.cancel()
            elif member.state is not State.STOPPING:
                self._step(member, Event.STOP)
                self._end(member, "stopping")
        for member in members:
            await member.gone.wait()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _fill(self) -> None:
        """Serve the line from its front."""
        while self._line:
            if self._line[0].done():
                self._line.popleft()
                continue
            choice = choose(self._slots(), max_instances=self._limits.max_instances)
            if isinstance(choice, Reuse):
                self._lend(self._members[choice.id])
            elif isinstance(choice, Start) and self._starting() < self.waiting:
                self._begin()
            else:
                break
        self._watch_idle()

    def _lend(self, member: Member) -> None:
        """Give an idle instance to the front of the line, unless it died while it was idle."""
        if member.instance is not None and not member.instance.reusable:
            self._step(member, Event.STOP)
            self._end(member, "exited")
            return
        self._step(member, Event.TAKEN)
        member.uses += 1
        self._line.popleft().set_result(member)

    def _leave(self, place: asyncio.Future[Member]) -> None:
        """Give up a place; an instance that was handed over at the same moment goes back."""
        if place.cancelled() or not place.done():
            place.cancel()
        elif place.exception() is None:
            place.result().uses -= 1
            self.release(place.result())

    def _begin(self) -> None:
        """Count an instance before its start is awaited, or a burst would start too many."""
        spec = self._spec()
        member = Member(spec.instance_id, self._loop.time())
        self._members[member.id] = member
        member.starting = self._run(self._start(member, spec))
        member.starting.add_done_callback(lambda _: self._tried(member))

    def _tried(self, member: Member) -> None:
        """Forget a start that failed, or was cancelled, maybe before its first step."""
        if member.instance is None:
            self._drop(member)

    async def _start(self, member: Member, spec: InstanceSpec) -> None:
        begun = self._loop.time()
        try:
            instance = await self._driver.start(spec)
        except StartFailed as failed:
            self._fail_first(failed)
            return
        except BaseException as error:
            self._fail_first(StartFailed(f"starting an instance failed: {error!r}"))
            raise
        member.instance = instance
        member.start_ms = (self._loop.time() - begun) * 1000
        member.last_used = self._loop.time()
        self._step(member, Event.READY)
        self._emit(
            InstanceStarted(function=self._function, instance=member.id, start_ms=member.start_ms)
        )
        self._run(self._see_off(member, instance))
        if member.state is State.STOPPING:
            self._run(instance.stop(grace_s=STOP_GRACE_S))
        self._fill()

    def _end(self, member: Member, why: str) -> None:
        """Let the driver end an instance that is stopping; one still starting is ended later."""
        member.why_stopped = why
        if member.instance is not None:
            self._run(member.instance.stop(grace_s=STOP_GRACE_S))

    async def _see_off(self, member: Member, instance: Instance) -> None:
        """Wait for the end of an instance, asked for or not, and forget it."""
        await instance.wait()
        # From here on it is lent to nobody, and another may take its place.
        self._step(member, Event.EXITED)
        self._fill()
        await instance.stop(grace_s=0)
        self._emit(
            InstanceStopped(function=self._function, instance=member.id, reason=member.why_stopped)
        )
        self._drop(member)

    def _drop(self, member: Member) -> None:
        self._step(member, Event.EXITED)
        del self._members[member.id]
        member.gone.set()
        self._fill()
        self._leave_if_empty()

    def _fail_first(self, failed: StartFailed) -> None:
        """Tell the caller at the front, for whom the instance was started."""
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_exception(failed)
                return

    def _watch_idle(self) -> None:
        """End what is idle too long, and look again when the next one will be."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        now = self._loop.time()
        for gone in overdue(self._slots(), now, idle_timeout_s=self._limits.idle_timeout_s):
            member = self._members[gone]
            self._step(member, Event.STOP)
            self._end(member, "idle")
        idle = [slot.last_used for slot in self._slots() if slot.state is State.IDLE]
        if idle:
            when = min(idle) + self._limits.idle_timeout_s
            self._idle_timer = self._loop.call_at(when, self._watch_idle)

    def _slots(self) -> list[Slot]:
        return [Slot(one.id, one.state, one.last_used) for one in self._members.values()]

    def _starting(self) -> int:
        return sum(member.state is State.STARTING for member in self._members.values())

    def _step(self, member: Member, event: Event) -> State:
        member.state = step(member.state, event)
        return member.state

    def _leave_if_empty(self) -> None:
        if self._retired and not self._members:
            self._on_empty(self)

    def _run(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._emit(Fault(where=f"an instance of {self._function}", error=error))
