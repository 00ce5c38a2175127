"""Accepted asynchronous jobs by the time at which they may run.

One binary heap holds ``(due, seq, function)`` for everything that waits for its time. What has
come due moves to a heap of its function, where it waits for a free slot; functions take turns.
A cancelled job leaves its heap entry behind, because removing from the middle costs O(n): an
entry whose number is no longer waiting is skipped when it surfaces, and when more than half of
the entries are such leftovers the heaps are rebuilt.
"""

from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush

_Entry = tuple[float, int, int]


class Backlog:
    """The jobs of all functions that are waiting or running; bodies are elsewhere."""

    def __init__(self) -> None:
        self._future: list[_Entry] = []
        self._ready: dict[int, list[tuple[float, int]]] = {}
        self._turns: deque[int] = deque()
        self._waiting: dict[int, int] = {}
        self._running: dict[int, int] = {}

    @property
    def waiting(self) -> int:
        """How many jobs have not been taken."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many jobs are taken and not settled."""
        return len(self._running)

    def submit(self, seq: int, due: float, function: int) -> None:
        """Let job ``seq`` of ``function`` wait until ``due`` (epoch seconds).

        Raises:
            ValueError: the job is already here.
        """
        if seq in self._waiting or seq in self._running:
            raise ValueError(f"job {seq} is already in the backlog")
        self._waiting[seq] = function
        heappush(self._future, (due, seq, function))

    def cancel(self, seq: int) -> bool:
        """Forget a waiting job; False when it is not waiting (running, settled or unknown)."""
        if self._waiting.pop(seq, None) is None:
            return False
        entries = len(self._future) + sum(map(len, self._ready.values()))
        if entries > 2 * len(self._waiting) + 64:
            self._compact()
        return True

    def next_due(self) -> float | None:
        """The instant at which the next waiting job comes due; None when none does.

        Jobs that are due and wait for a free slot do not count: time will not help them.
        """
        while self._future and self._future[0][1] not in self._waiting:
            heappop(self._future)
        return self._future[0][0] if self._future else None

    def take_due(self, now: float, *, limit: int, room: Callable[[int], int]) -> list[int]:
        """Move at most ``limit`` due jobs from waiting to running and name them.

        Of one function the earliest due first, ties in order of acceptance; functions take
        turns. ``room(function)`` says how many more of it may start; it is asked once per call.
        """
        self._gather(now)
        free: dict[int, int] = {}
        taken: list[int] = []
        blocked = 0
        while len(taken) < limit and blocked < len(self._turns):
            function = self._turns[0]
            if function not in free:
                free[function] = room(function)
            self._turns.rotate(-1)
            if free[function] <= 0:
                blocked += 1
                continue
            seq = self._pop_ready(function)
            if seq is None:
                self._turns.pop()
                continue
            blocked = 0
            free[function] -= 1
            self._running[seq] = self._waiting.pop(seq)
            taken.append(seq)
        return taken

    def settle(self, seq: int) -> None:
        """Drop a job that has run.

        Raises:
            KeyError: it is not running.
        """
        del self._running[seq]

    def _compact(self) -> None:
        """Rebuild the heaps without the entries of cancelled jobs."""
        self._future = [entry for entry in self._future if entry[1] in self._waiting]
        heapify(self._future)
        for queue in self._ready.values():
            queue[:] = [entry for entry in queue if entry[1] in self._waiting]
            heapify(queue)

    def _gather(self, now: float) -> None:
        """Move what has come due to the heap of its function."""
        while (due := self.next_due()) is not None and due <= now:
            due, seq, function = heappop(self._future)
            if function not in self._ready:
                self._ready[function] = []
                self._turns.append(function)
            heappush(self._ready[function], (due, seq))

    def _pop_ready(self, function: int) -> int | None:
        """Take the first due job of ``function``; None, and no turn any more, when it has none."""
        queue = self._ready[function]
        while queue:
            _, seq = heappop(queue)
            if seq in self._waiting:
                return seq
        del self._ready[function]
        return None
