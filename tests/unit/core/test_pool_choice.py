"""Which instance serves the next request, and which one has been idle too long."""

from hypothesis import given
from hypothesis import strategies as st

from emulator.core.lifecycle import State
from emulator.core.pool import Reuse, Slot, Start, Wait, choose, overdue


def slots() -> st.SearchStrategy[list[Slot]]:
    each = st.tuples(st.sampled_from(State), st.floats(0, 1000))
    return st.lists(each, max_size=8).map(
        lambda made: [Slot(f"c-{n}", state, used) for n, (state, used) in enumerate(made)]
    )


def test_most_recently_used_idle_instance_is_taken():
    """So that the others reach their idle time and end."""
    crowd = [
        Slot("c-old", State.IDLE, 1.0),
        Slot("c-new", State.IDLE, 3.0),
        Slot("c-busy", State.BUSY, 9.0),
    ]

    assert choose(crowd, max_instances=3) == Reuse("c-new")


def test_one_more_is_started_below_the_limit():
    crowd = [Slot("c-1", State.BUSY, 1.0), Slot("c-2", State.STARTING, 1.0)]

    assert choose(crowd, max_instances=3) == Start()
    assert choose(crowd, max_instances=2) == Wait()


def test_instances_on_their_way_out_leave_room():
    crowd = [
        Slot("c-1", State.DRAINING, 1.0),
        Slot("c-2", State.STOPPING, 1.0),
        Slot("c-3", State.STOPPED, 1.0),
    ]

    assert choose(crowd, max_instances=1) == Start()


@given(slots(), st.integers(1, 8))
def test_choice_keeps_the_limit_and_lends_idle_instances_only(crowd: list[Slot], limit: int):
    choice = choose(crowd, max_instances=limit)

    idle = {slot.id for slot in crowd if slot.state is State.IDLE}
    living = [s for s in crowd if s.state in (State.STARTING, State.IDLE, State.BUSY)]
    match choice:
        case Reuse(id=chosen):
            assert chosen in idle
        case Start():
            assert not idle
            assert len(living) < limit
        case Wait():
            assert not idle
            assert len(living) >= limit


def test_idle_instance_is_overdue_from_its_very_second_on():
    crowd = [
        Slot("c-fresh", State.IDLE, 100.5),
        Slot("c-due", State.IDLE, 100.0),
        Slot("c-long", State.IDLE, 5.0),
        Slot("c-busy", State.BUSY, 5.0),
        Slot("c-starting", State.STARTING, 5.0),
    ]

    assert overdue(crowd, 110.0, idle_timeout_s=10.0) == ["c-due", "c-long"]
