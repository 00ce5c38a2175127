"""The clocks; the only module that reads the system's."""

import asyncio
import time

MAX_NAP_S = 30.0
"""Longest single sleep. A suspended laptop or a stepped clock then costs seconds, not the rest
of an hour's delay. Ours."""


class SystemClock:
    """The due clock of an ordinary run: the system's own, epoch seconds, UTC."""

    def now(self) -> float:
        """Give the instant."""
        return time.time()

    async def sleep_until(self, when: float) -> None:
        """Return once the system's clock shows at least ``when``."""
        while (left := when - time.time()) > 0:
            await asyncio.sleep(min(left, MAX_NAP_S))


def wall_ns() -> int:
    """Give the system's clock as file systems stamp with it, epoch nanoseconds."""
    return time.time_ns()
