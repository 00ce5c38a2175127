"""Engines on fakes, checked at their end: nothing living, no code version held."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from emulator.journal.memory import MemoryJournal
from tests.support.fakes import USUAL, EngineRig, Size

MakeRig = Callable[..., EngineRig]


@pytest.fixture
async def make_rig() -> AsyncIterator[MakeRig]:
    """Make engines of a size; each is stopped at the end and must have let go of everything."""
    async with AsyncExitStack() as stack:

        def make(size: Size = USUAL, journal: MemoryJournal | None = None) -> EngineRig:
            rig = EngineRig(size, journal)
            stack.push_async_callback(rig.close)
            return rig

        yield make


@pytest.fixture
async def rig(make_rig: MakeRig) -> EngineRig:
    return make_rig()
