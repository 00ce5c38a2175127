"""The life of an instance as one table.

An instance is *starting* until it answers, then *idle* and *busy* in turn. When its code is
replaced it is retired: an idle one stops at once, a busy one becomes *draining* and stops when
its request is done, and one that is still starting is never lent. Everything that changes the
state goes through ``step``; a pair that is not in the table is a bug of ours.
"""

from enum import StrEnum


class State(StrEnum):
    """Where an instance is in its life."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    DRAINING = "draining"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Event(StrEnum):
    """What happens to an instance."""

    READY = "ready"
    """It answers."""
    TAKEN = "taken"
    """It was given a request."""
    FREED = "freed"
    """The request is done and the instance is fit for another."""
    RETIRED = "retired"
    """Its code or configuration is no longer current."""
    STOP = "stop"
    """It must end: idle too long, unfit after a request, or the emulator stops."""
    EXITED = "exited"
    """Its process is gone."""


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.STARTING: {
        Event.READY: State.IDLE,
        Event.RETIRED: State.STOPPING,
        Event.STOP: State.STOPPING,
        Event.EXITED: State.STOPPED,
    },
    State.IDLE: {
        Event.TAKEN: State.BUSY,
        Event.RETIRED: State.STOPPING,
        Event.STOP: State.STOPPING,
        Event.EXITED: State.STOPPED,
    },
    State.BUSY: {
        Event.FREED: State.IDLE,
        Event.RETIRED: State.DRAINING,
        Event.STOP: State.STOPPING,
        Event.EXITED: State.STOPPED,
    },
    State.DRAINING: {
        Event.FREED: State.STOPPING,
        Event.RETIRED: State.DRAINING,
        Event.STOP: State.STOPPING,
        Event.EXITED: State.STOPPED,
    },
    State.STOPPING: {
        Event.READY: State.STOPPING,
        Event.RETIRED: State.STOPPING,
        Event.STOP: State.STOPPING,
        Event.EXITED: State.STOPPED,
    },
    State.STOPPED: {
        Event.RETIRED: State.STOPPED,
        Event.STOP: State.STOPPED,
        Event.EXITED: State.STOPPED,
    },
}


class InvalidTransition(Exception):
    """An event that the state does not allow. Attributes: ``state``, ``event``."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"an instance that is {state} cannot be {event}")
        self.state = state
        self.event = event


def step(state: State, event: Event) -> State:
    """Give the state after ``event``.

    Raises:
        InvalidTransition: the table has no such row.
    """
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise InvalidTransition(state, event) from None
