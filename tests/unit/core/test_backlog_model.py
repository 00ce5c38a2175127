"""The backlog against a dictionary: whatever happens in whatever order, both agree."""

from collections import defaultdict

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from emulator.core.backlog import Backlog

FUNCTIONS = range(4)
rooms = st.tuples(*(st.integers(0, 3) for _ in FUNCTIONS))


class BacklogMachine(RuleBasedStateMachine):
    """``waiting`` maps a job to its due time and function; ``seen`` are those that a take saw due.

    Seen, because a clock may be set back: what has come due stays due.
    """

    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.backlog = Backlog()
        self.now = 0.0
        self.seq = 0
        self.waiting: dict[int, tuple[float, int]] = {}
        self.running: set[int] = set()
        self.seen: set[int] = set()
        self.turns_missed: dict[int, int] = defaultdict(int)

    @rule(target=jobs, delay=st.integers(0, 5), function=st.sampled_from(FUNCTIONS))
    def submit(self, delay: int, function: int) -> int:
        self.seq += 1
        due = self.now + delay
        self.backlog.submit(self.seq, due, function)
        self.waiting[self.seq] = (due, function)
        return self.seq

    @rule(seconds=st.integers(-2, 4))
    def time_moves(self, seconds: int) -> None:
        """Now and then a clock is set back."""
        self.now += seconds

    @rule(limit=st.integers(-1, 4), room=rooms)
    def take(self, limit: int, room: tuple[int, ...]) -> None:
        self.seen |= {seq for seq, (due, _) in self.waiting.items() if due <= self.now}
        ready = {function: self.line_of(function) for function in FUNCTIONS}
        taken = self.backlog.take_due(self.now, limit=limit, room=lambda f: room[f])

        by_function: dict[int, list[int]] = defaultdict(list)
        for seq in taken:
            _, function = self.waiting.pop(seq)
            by_function[function].append(seq)
            self.running.add(seq)
            self.seen.remove(seq)
        for function, seqs in by_function.items():
            assert len(seqs) <= room[function]
            assert seqs == ready[function][: len(seqs)], "not the earliest due, or too early"
        possible = sum(min(room[function], len(ready[function])) for function in FUNCTIONS)
        assert len(taken) == max(0, min(limit, possible)), "something could have been taken"
        self.count_turns(limit, room, ready, by_function)

    def count_turns(
        self,
        limit: int,
        room: tuple[int, ...],
        ready: dict[int, list[int]],
        taken: dict[int, list[int]],
    ) -> None:
        """Who could have had a turn and had none is overtaken at most once by each other."""
        for function in FUNCTIONS:
            if taken[function] or not ready[function] or not room[function]:
                self.turns_missed[function] = 0
                continue
            self.turns_missed[function] += sum(map(len, taken.values()))
            assert self.turns_missed[function] < len(FUNCTIONS), f"{function} starves"
            assert max(map(len, taken.values()), default=0) <= 1, "twice before the other once"

    def line_of(self, function: int) -> list[int]:
        """Give the jobs of a function that may run, in their order."""
        due = [(self.waiting[seq][0], seq) for seq in self.seen if self.waiting[seq][1] == function]
        return [seq for _, seq in sorted(due)]

    @rule(seq=jobs)
    def cancel(self, seq: int) -> None:
        assert self.backlog.cancel(seq) == (seq in self.waiting)
        self.waiting.pop(seq, None)
        self.seen.discard(seq)

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        if self.running:
            seq = data.draw(st.sampled_from(sorted(self.running)))
            self.backlog.settle(seq)
            self.running.remove(seq)

    @invariant()
    def counts_are_right(self) -> None:
        assert self.backlog.waiting == len(self.waiting)
        assert self.backlog.running == len(self.running)

    @invariant()
    def next_due_is_right(self) -> None:
        unseen = [due for seq, (due, _) in self.waiting.items() if seq not in self.seen]
        assert self.backlog.next_due() == min(unseen, default=None)


TestBacklog = BacklogMachine.TestCase
