"""One attempt: from a request to what became of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from emulator.core.errors import ErrorCode
from emulator.core.outcome import (
    Outcome,
    Refused,
    SystemFailed,
    Throttled,
    classify,
    exited,
    timed_out,
)
from emulator.core.request import Context, InvokeOptions, Request
from emulator.engine.events import Event, InvocationFinished, InvocationKind
from emulator.engine.pool import NoInstance
from emulator.engine.pools import Lease, Pools
from emulator.engine.ports import CodeUnavailable, InstanceDied, InstanceTimedOut, StartFailed
from emulator.engine.registry import Target


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the emulator plays. ``region`` like ``cn-hangzhou``."""

    account_id: str
    region: str
    access_key_id: str = ""
    access_key_secret: str = ""
    security_token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is to be invoked with what."""

    request_id: str
    target: Target
    payload: bytes
    options: InvokeOptions
    kind: InvocationKind


class Invoker:
    """Runs calls on instances of the pools; tells every end to ``emit``."""

    def __init__(self, pools: Pools, account: Account, emit: Callable[[Event], None]) -> None:
        self._pools = pools
        self._account = account
        self._emit = emit

    async def invoke(self, call: Call) -> InvocationFinished:
        """Run a call once; what the function did is in the outcome, never an exception."""
        facts = _Facts(asyncio.get_running_loop().time)
        outcome = await self._outcome(call, facts)
        lease = facts.lease
        finished = InvocationFinished(
            request_id=call.request_id,
            ref=call.target.ref,
            function=call.target.function.id,
            kind=call.kind,
            outcome=outcome,
            instance=lease.member.id if lease is not None else None,
            checksum=lease.version.checksum if lease is not None else None,
            cold_start=lease is not None and lease.cold,
            queued_ms=facts.queued_ms,
            start_ms=facts.start_ms,
            run_ms=facts.run_ms,
            peak_mb=facts.peak_mb,
        )
        self._emit(finished)
        return finished

    async def _outcome(self, call: Call, facts: "_Facts") -> Outcome:
        """Lease an instance and hand the call over; every failure becomes a value."""
        if call.target.deployment.cannot_run:
            return Refused(ErrorCode.NOT_IMPLEMENTED, call.target.deployment.cannot_run)
        timeout_s = float(call.target.function.timeout)
        request = Request(
            id=call.request_id,
            payload=call.payload,
            timeout_s=timeout_s,
            context=self._context(call),
        )
        try:
            async with self._pools.lease(call.target, timeout_s=timeout_s) as lease:
                facts.leased(lease)
                return await _exchange(request, facts)
        except NoInstance:
            return Throttled()
        except CodeUnavailable as error:
            return SystemFailed(str(error))
        except StartFailed as failed:
            if failed.by_function:
                return exited(facts.waited_ms(), None, failed.log)
            return SystemFailed(str(failed), unavailable=failed.unavailable)

    def _context(self, call: Call) -> Context:
        function = call.target.function
        return Context(
            function_name=function.function_name,
            service_name=function.service_name or "",
            handler=function.handler,
            memory_mb=function.memory_size,
            timeout_s=function.timeout,
            region=self._account.region,
            account_id=self._account.account_id,
            qualifier=call.target.ref.qualifier,
            access_key_id=self._account.access_key_id,
            access_key_secret=self._account.access_key_secret,
            security_token=self._account.security_token,
            span_context=call.options.span_context,
            span_baggages=call.options.span_baggages,
        )


class _Facts:
    """What an attempt took, gathered on its way. Milliseconds of the run clock."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._asked = time()
        self._given: float | None = None
        self.lease: Lease | None = None
        self.run_ms = 0.0
        self.peak_mb: float | None = None

    def leased(self, lease: Lease) -> None:
        """Note that an instance was given: the function's own time begins."""
        self.lease = lease
        self._given = self._time()

    def answered(self, peak_mb: float | None) -> None:
        """Note that the function's own time is over."""
        assert self._given is not None
        self.run_ms = (self._time() - self._given) * 1000
        self.peak_mb = peak_mb

    def waited_ms(self) -> float:
        """Tell the time until an instance was given, or until now."""
        return ((self._given or self._time()) - self._asked) * 1000

    @property
    def start_ms(self) -> float:
        """What the start of the instance took, when it was started for this call."""
        return self.lease.member.start_ms if self.lease is not None and self.lease.cold else 0.0

    @property
    def queued_ms(self) -> float:
        """What was waited beyond that."""
        return max(0.0, self.waited_ms() - self.start_ms)


async def _exchange(request: Request, facts: _Facts) -> Outcome:
    assert facts.lease is not None
    instance = facts.lease.member.instance
    assert instance is not None
    try:
        reply = await instance.exchange(request)
    except InstanceTimedOut as late:
        facts.answered(late.peak_mb)
        return timed_out(request.timeout_s, late.peak_mb, late.log)
    except InstanceDied as died:
        facts.answered(died.peak_mb)
        limit_mb = request.context.memory_mb if died.out_of_memory else None
        return exited(facts.run_ms, died.peak_mb, died.log, memory_limit_mb=limit_mb)
    facts.answered(None)
    facts.peak_mb = (await instance.usage()).peak_mb
    return classify(reply)
