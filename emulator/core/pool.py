"""Which instance serves the next request of a function version."""

from collections.abc import Iterable
from dataclasses import dataclass

from emulator.core.lifecycle import State

LIVING = frozenset({State.STARTING, State.IDLE, State.BUSY})
"""Instances that count against the limit: those of replaced code are on their way out."""


@dataclass(frozen=True, slots=True)
class Slot:
    """An instance as a decision sees it. ``last_used`` is in seconds of the run clock."""

    id: str
    state: State
    last_used: float


@dataclass(frozen=True, slots=True)
class Reuse:
    """Take this idle instance."""

    id: str


@dataclass(frozen=True, slots=True)
class Start:
    """Start one more."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The limit is reached: wait for one to be freed."""


Choice = Reuse | Start | Wait


def choose(slots: Iterable[Slot], *, max_instances: int) -> Choice:
    """Decide for one request; the most recently used idle instance first.

    So that the same few stay warm and the others reach their idle time.
    """
    living = [slot for slot in slots if slot.state in LIVING]
    idle = [slot for slot in living if slot.state is State.IDLE]
    if idle:
        return Reuse(max(idle, key=lambda slot: slot.last_used).id)
    return Start() if len(living) < max_instances else Wait()


def overdue(slots: Iterable[Slot], now: float, *, idle_timeout_s: float) -> list[str]:
    """Name the idle instances that nobody used for ``idle_timeout_s`` seconds."""
    return [
        slot.id
        for slot in slots
        if slot.state is State.IDLE and now - slot.last_used >= idle_timeout_s
    ]
