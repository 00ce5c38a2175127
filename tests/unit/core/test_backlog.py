"""Accepted jobs by due time, in single steps; ``test_backlog_model.py`` takes random ones."""

import tracemalloc

import pytest

from emulator.core.backlog import Backlog

A, B, C = 0, 1, 2
"""Functions."""


def plenty(_: int) -> int:
    return 1000


def none(_: int) -> int:
    return 0


def test_job_is_taken_at_its_due_time_and_not_before():
    backlog = Backlog()
    backlog.submit(1, 100.0, A)

    assert backlog.take_due(99.999, limit=10, room=plenty) == []
    assert backlog.take_due(100.0, limit=10, room=plenty) == [1]


def test_earliest_due_comes_first_and_ties_in_order_of_acceptance():
    backlog = Backlog()
    for seq, due in [(1, 30.0), (2, 10.0), (3, 20.0), (4, 10.0)]:
        backlog.submit(seq, due, A)

    assert backlog.take_due(30.0, limit=10, room=plenty) == [2, 4, 3, 1]


def test_order_holds_over_jobs_that_came_due_later():
    """What waits for room keeps its place by due time, not by when the backlog looked."""
    backlog = Backlog()
    backlog.submit(1, 20.0, A)
    backlog.take_due(25.0, limit=10, room=none)
    backlog.submit(2, 10.0, A)

    assert backlog.take_due(25.0, limit=10, room=plenty) == [2, 1]


def test_no_more_than_the_limit_is_taken():
    backlog = Backlog()
    for seq in range(5):
        backlog.submit(seq, 0.0, A)

    assert backlog.take_due(0.0, limit=2, room=plenty) == [0, 1]
    assert backlog.take_due(0.0, limit=0, room=plenty) == []
    assert backlog.take_due(0.0, limit=-1, room=plenty) == []
    assert (backlog.waiting, backlog.running) == (3, 2)


def test_functions_take_turns():
    backlog = Backlog()
    for seq, function in enumerate([A, A, A, A, B, B, C]):
        backlog.submit(seq, 0.0, function)

    assert backlog.take_due(0.0, limit=7, room=plenty) == [0, 4, 6, 1, 5, 2, 3]


def test_turns_go_on_over_calls():
    backlog = Backlog()
    for seq, function in enumerate([A, A, B, B, C, C]):
        backlog.submit(seq, 0.0, function)

    taken = [backlog.take_due(0.0, limit=1, room=plenty) for _ in range(6)]

    assert taken == [[0], [2], [4], [1], [3], [5]]


def test_function_without_room_holds_up_nobody():
    backlog = Backlog()
    for seq, function in enumerate([A, A, B, B, C]):
        backlog.submit(seq, 0.0, function)

    assert backlog.take_due(0.0, limit=9, room=lambda f: 0 if f == A else 1) == [2, 4]
    assert backlog.take_due(0.0, limit=9, room=plenty) == [0, 3, 1]


def test_room_is_asked_once_per_function_and_call():
    backlog = Backlog()
    for seq in range(6):
        backlog.submit(seq, 0.0, seq % 2)
    asked: list[int] = []

    def room(function: int) -> int:
        asked.append(function)
        return 2

    assert backlog.take_due(0.0, limit=9, room=room) == [0, 1, 2, 3]
    assert sorted(asked) == [A, B]


def test_cancelled_job_is_never_taken():
    backlog = Backlog()
    backlog.submit(1, 10.0, A)
    backlog.submit(2, 20.0, A)
    backlog.submit(3, 20.0, B)

    assert backlog.cancel(1)
    assert not backlog.cancel(1)
    assert backlog.next_due() == 20.0
    backlog.take_due(20.0, limit=9, room=none)
    assert backlog.cancel(2)
    assert backlog.take_due(20.0, limit=9, room=plenty) == [3]


def test_running_settled_and_unknown_jobs_cannot_be_cancelled():
    backlog = Backlog()
    backlog.submit(1, 0.0, A)
    backlog.take_due(0.0, limit=1, room=plenty)

    assert not backlog.cancel(1)
    backlog.settle(1)
    assert not backlog.cancel(1)
    assert not backlog.cancel(99)


def test_next_due_counts_what_time_will_help_and_nothing_else():
    backlog = Backlog()
    assert backlog.next_due() is None

    backlog.submit(1, 10.0, A)
    backlog.submit(2, 20.0, A)
    assert backlog.next_due() == 10.0

    backlog.take_due(10.0, limit=1, room=none)
    assert backlog.next_due() == 20.0

    backlog.cancel(2)
    assert backlog.next_due() is None
    assert backlog.waiting == 1


def test_job_that_is_here_is_not_taken_in_again():
    backlog = Backlog()
    backlog.submit(1, 0.0, A)

    with pytest.raises(ValueError, match="job 1 is already in the backlog"):
        backlog.submit(1, 5.0, A)

    backlog.take_due(0.0, limit=1, room=plenty)
    with pytest.raises(ValueError, match="job 1 is already in the backlog"):
        backlog.submit(1, 5.0, A)


def test_job_that_has_run_may_come_back():
    """As one that is tried again does."""
    backlog = Backlog()
    backlog.submit(1, 0.0, A)
    backlog.take_due(0.0, limit=1, room=plenty)
    backlog.settle(1)

    backlog.submit(1, 60.0, A)

    assert backlog.take_due(59.0, limit=1, room=plenty) == []
    assert backlog.take_due(60.0, limit=1, room=plenty) == [1]


def test_only_what_runs_can_be_settled():
    backlog = Backlog()
    backlog.submit(1, 0.0, A)

    with pytest.raises(KeyError):
        backlog.settle(1)


@pytest.mark.parametrize("comes_due", [False, True], ids=["still-early", "due-without-room"])
def test_cancelled_jobs_leave_no_memory_behind(comes_due: bool):
    """A hundred thousand that come and are cancelled, for as long as one waits."""
    backlog = Backlog()
    backlog.submit(0, 10.0, A)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()

    for seq in range(1, 100_001):
        backlog.submit(seq, 10.0, A)
        if comes_due:
            backlog.take_due(10.0, limit=1, room=none)
        backlog.cancel(seq)

    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 100_000
    assert peak - before < 200_000
    assert backlog.take_due(10.0, limit=9, room=plenty) == [0]


def test_hundred_thousand_waiting_jobs_can_all_be_cancelled():
    backlog = Backlog()
    for seq in range(100_000):
        backlog.submit(seq, float(seq % 3600), seq % 7)

    for seq in range(100_000):
        assert backlog.cancel(seq)

    assert backlog.waiting == 0
    assert backlog.next_due() is None
    assert backlog.take_due(3600.0, limit=9, room=plenty) == []
