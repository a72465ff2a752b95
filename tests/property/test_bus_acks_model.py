"""Whatever is opened and done in whatever order, the committed offset never passes an open record."""

from collections import deque
from types import SimpleNamespace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from multimood.bus.acks import Limits, OffsetTracker


class Acknowledgements(RuleBasedStateMachine):
    """The tracker beside a model that remembers everything."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker = OffsetTracker(100)
        self.next = 100
        self.undone: dict[int, int] = {}
        self.committed = 100

    @rule(hole=st.sampled_from([0, 0, 0, 1, 7]), size=st.integers(0, 1000))
    def open(self, hole: int, size: int) -> None:
        offset = self.next + hole
        self.tracker.open(offset, size)
        self.undone[offset] = size
        self.next = offset + 1

    @rule(sizes=st.lists(st.integers(0, 1000), max_size=8))
    def take_within_limits(self, sizes: list[int]) -> None:
        limits = Limits(records=3, bytes=1500, span=10)
        records = [SimpleNamespace(offset=self.next + at, value=b"x" * size or None) for at, size in enumerate(sizes)]
        waiting = deque(records)
        span = self.tracker.span
        wanted: list[SimpleNamespace] = []
        for record in records:
            if len(self.undone) >= 3 or sum(self.undone.values()) >= 1500 or span + len(wanted) >= 10:
                break
            wanted.append(record)
            self.undone[record.offset] = len(record.value or b"")
        assert list(limits.take(self.tracker, waiting)) == wanted
        assert list(waiting) == records[len(wanted) :], "what may not be delivered yet is kept"
        self.next += len(wanted)

    @rule(choice=st.randoms(use_true_random=False))
    def done(self, choice: object) -> None:
        if self.undone:
            offset = choice.choice(sorted(self.undone))  # type: ignore[attr-defined]
            self.tracker.done(offset)
            del self.undone[offset]

    @rule(offset=st.integers(0, 200))
    def done_again_or_never_opened(self, offset: int) -> None:
        if offset not in self.undone:
            self.tracker.done(offset)

    @rule()
    def commit(self) -> None:
        assert self.tracker.position >= self.committed, "a commit went back"
        self.committed = self.tracker.position

    @invariant()
    def nothing_undone_is_passed(self) -> None:
        assert all(offset >= self.tracker.position for offset in self.undone)
        assert self.tracker.position == min(self.undone, default=self.next)
        assert self.tracker.head == min(self.undone, default=None)

    @invariant()
    def what_is_held_is_counted(self) -> None:
        assert self.tracker.held == len(self.undone)
        assert self.tracker.held_bytes == sum(self.undone.values())
        assert self.tracker.span >= self.tracker.held


Acknowledgements.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAcknowledgements = Acknowledgements.TestCase
