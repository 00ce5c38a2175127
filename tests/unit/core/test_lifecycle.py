"""The table of an instance's life, row by row: what is not in it is refused."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.core.lifecycle import Event, InvalidTransition, State, step

ROWS = [
    (State.STARTING, Event.READY, State.IDLE),
    (State.STARTING, Event.RETIRED, State.STOPPING),
    (State.STARTING, Event.STOP, State.STOPPING),
    (State.STARTING, Event.EXITED, State.STOPPED),
    (State.IDLE, Event.TAKEN, State.BUSY),
    (State.IDLE, Event.RETIRED, State.STOPPING),
    (State.IDLE, Event.STOP, State.STOPPING),
    (State.IDLE, Event.EXITED, State.STOPPED),
    (State.BUSY, Event.FREED, State.IDLE),
    (State.BUSY, Event.RETIRED, State.DRAINING),
    (State.BUSY, Event.STOP, State.STOPPING),
    (State.BUSY, Event.EXITED, State.STOPPED),
    (State.DRAINING, Event.FREED, State.STOPPING),
    (State.DRAINING, Event.RETIRED, State.DRAINING),
    (State.DRAINING, Event.STOP, State.STOPPING),
    (State.DRAINING, Event.EXITED, State.STOPPED),
    (State.STOPPING, Event.READY, State.STOPPING),
    (State.STOPPING, Event.RETIRED, State.STOPPING),
    (State.STOPPING, Event.STOP, State.STOPPING),
    (State.STOPPING, Event.EXITED, State.STOPPED),
    (State.STOPPED, Event.RETIRED, State.STOPPED),
    (State.STOPPED, Event.STOP, State.STOPPED),
    (State.STOPPED, Event.EXITED, State.STOPPED),
]

PAIRS_WITHOUT_A_ROW = sorted(
    set(product(State, Event)) - {(state, event) for state, event, _ in ROWS}
)


@pytest.mark.parametrize(("state", "event", "after"), ROWS)
def test_event_leads_to_the_state_of_its_row(state: State, event: Event, after: State):
    assert step(state, event) is after


@pytest.mark.parametrize(("state", "event"), PAIRS_WITHOUT_A_ROW)
def test_pair_without_a_row_is_refused_with_state_and_event(state: State, event: Event):
    with pytest.raises(InvalidTransition) as refusal:
        step(state, event)

    assert (refusal.value.state, refusal.value.event) == (state, event)
    assert str(refusal.value) == f"an instance that is {state} cannot be {event}"


@given(st.lists(st.sampled_from(Event)))
def test_only_an_idle_instance_is_ever_lent(events: list[Event]):
    """Above all not one whose code was replaced while it started."""
    state = State.STARTING
    was_retired = False

    for event in events:
        try:
            after = step(state, event)
        except InvalidTransition:
            continue
        if event is Event.TAKEN:
            assert state is State.IDLE
            assert not was_retired
        was_retired = was_retired or event is Event.RETIRED
        state = after


@given(st.lists(st.sampled_from(Event)))
def test_nothing_leaves_the_last_state(events: list[Event]):
    state = State.STOPPED

    for event in events:
        try:
            state = step(state, event)
        except InvalidTransition as refusal:
            assert refusal.state is State.STOPPED

    assert state is State.STOPPED
