"""What every Clock promises: never early."""

import asyncio

import pytest

from emulator.clocks import SystemClock, wall_ns
from emulator.engine.ports import Clock
from tests.support.clock import ManualClock


@pytest.fixture(params=[SystemClock, ManualClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    """Each implementation in turn."""
    made: Clock = request.param()
    return made


async def pass_time(clock: Clock, seconds: float) -> None:
    """Let a clock that stands still move."""
    if isinstance(clock, ManualClock):
        await clock.advance(seconds)


@pytest.mark.parametrize("seconds", [0.001, 0.02, 0.2])
async def test_sleep_ends_when_the_instant_has_come_and_not_before(
    clock: Clock, seconds: float
) -> None:
    """What ``now`` shows afterwards is the proof."""
    when = clock.now() + seconds
    sleeping = asyncio.ensure_future(clock.sleep_until(when))

    await pass_time(clock, seconds)
    async with asyncio.timeout(5):
        await sleeping

    assert clock.now() >= when


async def test_an_instant_in_the_past_does_not_wait(clock: Clock) -> None:
    """Nor does the present one."""
    async with asyncio.timeout(1):
        await clock.sleep_until(clock.now() - 3600)
        await clock.sleep_until(clock.now())


async def test_a_sleep_can_be_cancelled(clock: Clock) -> None:
    """However far away its end is."""
    sleeping = asyncio.ensure_future(clock.sleep_until(clock.now() + 1e6))
    await asyncio.wait({sleeping}, timeout=0.01)

    sleeping.cancel()
    await asyncio.wait({sleeping})

    assert sleeping.cancelled()


def test_the_wall_clock_of_file_systems_is_the_same_clock() -> None:
    """In nanoseconds."""
    assert abs(wall_ns() / 1e9 - SystemClock().now()) < 5
