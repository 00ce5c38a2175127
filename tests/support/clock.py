"""A due clock that stands still until it is told to move."""

import asyncio
from heapq import heappop, heappush
from itertools import count

SETTLE_TURNS = 50
"""Turns of the event loop that the longest chain of wake-ups in the engine stays below."""

START_AT = 1_700_000_000.0
"""Some instant in 2023."""


async def settle(turns: int = SETTLE_TURNS) -> None:
    """Let everything run that waits for nothing but its turn."""
    for _ in range(turns):
        await asyncio.sleep(0)


class ManualClock:
    """The engine's Clock in a test's hand: an hour takes no time.

    ``sleeping`` counts the calls of ``sleep_until`` that wait now, ``most_sleeping`` the most
    that ever waited at once.
    """

    def __init__(self, start_at: float = START_AT) -> None:
        self.sleeping = 0
        self.most_sleeping = 0
        self._now = start_at
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        """Give the instant."""
        return self._now

    async def sleep_until(self, when: float) -> None:
        """Return once the clock was moved to ``when`` or beyond."""
        if when <= self._now:
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._sleepers, (when, next(self._order), woken))
        self.sleeping += 1
        self.most_sleeping = max(self.most_sleeping, self.sleeping)
        try:
            await woken
        finally:
            self.sleeping -= 1

    async def advance(self, seconds: float) -> None:
        """Move on, stopping wherever somebody is to be woken; return when all due work has run.

        Who is woken sees the instant that it asked for, and may ask for another on the way.
        """
        target = self._now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            when, _, woken = heappop(self._sleepers)
            if woken.done():
                continue
            self._now = when
            woken.set_result(None)
            await settle()
        self._now = target
        await settle()
