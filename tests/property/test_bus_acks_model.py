"""Whatever is opened and done in whatever order, the committed offset never passes an open record."""

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
        limits = Limits(records=3, bytes=1500, span=10)
        allowed = len(self.undone) < 3 and sum(self.undone.values()) < 1500 and self.tracker.span < 10
        assert limits.allow(self.tracker) == allowed


Acknowledgements.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAcknowledgements = Acknowledgements.TestCase
