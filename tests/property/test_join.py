"""The join under any order, repetition, delay, crowding and crash: each key once, and always the same record."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from multimood.bus.acks import OffsetTracker
from multimood.join import AlreadyJoined, Join, Joined

KINDS = ("anchor", "text", "audio", "video")
DEADLINE, ORPHAN, CAPACITY = 10.0, 30.0, 4


@dataclass(frozen=True)
class Part:
    key: str
    kind: str
    needs: frozenset[str]


def required(parts: Mapping[str, Part]) -> Collection[str] | None:
    anchor = parts.get("anchor")
    return None if anchor is None else {"anchor", *anchor.needs}


def new_join(capacity: int = 1000) -> Join[Part, int]:
    return Join(required, deadline_s=DEADLINE, orphan_s=ORPHAN, capacity=capacity)


needs = st.frozensets(st.sampled_from(KINDS[1:]))
utterances = st.lists(needs, min_size=1, max_size=5)


def parts_of(manifests: list[frozenset[str]]) -> list[Part]:
    return [Part(f"k{n}", kind, wanted) for n, wanted in enumerate(manifests) for kind in ("anchor", *sorted(wanted))]


@given(manifests=utterances, data=st.data())
@settings(max_examples=200, deadline=None)
def test_any_order_and_repetition_gives_the_same_records(manifests: list[frozenset[str]], data: st.DataObject) -> None:
    parts = parts_of(manifests)
    order = data.draw(st.permutations(parts + data.draw(st.lists(st.sampled_from(parts), max_size=8))))
    join, joined, late = new_join(), [], []
    for ticket, part in enumerate(order):
        try:
            found = join.add(part.key, part.kind, part, ticket, now=ticket * DEADLINE / (len(order) + 1))
        except AlreadyJoined:
            late.append(ticket)
        else:
            joined += [found] if found else []
    assert {one.key: dict(one.parts) for one in joined} == {
        f"k{n}": {kind: Part(f"k{n}", kind, wanted) for kind in ("anchor", *wanted)}
        for n, wanted in enumerate(manifests)
    }
    assert all(one.complete for one in joined)
    assert sorted([ticket for one in joined for ticket in one.tickets] + late) == list(range(len(order)))
    assert (len(join), join.held) == (0, 0)


class Crowd(RuleBasedStateMachine):
    """Few places, late parts, time that passes: every ticket comes out, every anchor is joined once."""

    def __init__(self) -> None:
        super().__init__()
        self.join = new_join(CAPACITY)
        self.now = 0.0
        self.tickets = 0
        self.out: Counter[int] = Counter()
        self.joined: Counter[str] = Counter()
        self.anchored_at: dict[str, float] = {}

    def take(self, joined: Joined[Part, int]) -> None:
        self.out.update(joined.tickets)
        if "anchor" not in joined.parts:
            assert not joined.complete
            return
        self.joined[joined.key] += 1
        assert self.joined[joined.key] == 1, "joined twice"
        assert joined.complete == (joined.parts.keys() >= set(required(joined.parts) or ()))

    @rule(key=st.integers(0, 7), kind=st.sampled_from(KINDS), wanted=needs)
    def add(self, key: int, kind: str, wanted: frozenset[str]) -> None:
        part = Part(f"k{key}", kind, wanted)
        ticket, self.tickets = self.tickets, self.tickets + 1
        try:
            joined = self.join.add(part.key, kind, part, ticket, self.now)
        except AlreadyJoined:
            assert self.joined[part.key] == 1, "refused, though it never was joined"
            self.out[ticket] += 1
        else:
            if joined:
                self.take(joined)
        if kind == "anchor":
            self.anchored_at.setdefault(part.key, self.now)

    @rule(seconds=st.sampled_from([0.0, 1.0, 9.9, 10.0, 31.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        due = self.join.next_deadline()
        expired = list(self.join.expire(self.now))
        assert bool(expired) == (due is not None and due <= self.now), "it said there was nothing to do, or there was"
        for joined in expired:
            self.take(joined)
        assert len(self.join) <= CAPACITY
        for key, since in self.anchored_at.items():
            if self.now - since >= DEADLINE:
                assert self.joined[key] == 1, "its time was up, and nothing came"

    @invariant()
    def no_ticket_is_lost_or_given_twice(self) -> None:
        assert all(count == 1 for count in self.out.values())
        assert self.join.held == self.tickets - len(self.out)


Crowd.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCrowd = Crowd.TestCase


class Crashes(RuleBasedStateMachine):
    """One log per kind, a process that dies at any moment, and outputs that survive it."""

    def __init__(self) -> None:
        super().__init__()
        self.logs: dict[str, list[Part]] = {kind: [] for kind in KINDS}
        self.committed = dict.fromkeys(KINDS, 0)
        self.outputs: list[tuple[str, dict[str, Part]]] = []
        self.now = 0.0
        self.wanted: dict[str, frozenset[str]] = {}
        self.begin()

    def begin(self) -> None:
        """A new process: it knows the offsets that were committed, and what was published."""
        self.join: Join[Part, tuple[str, int]] = Join(
            required, deadline_s=DEADLINE, orphan_s=ORPHAN, capacity=1000, remembers=1000
        )
        for key, _ in self.outputs:
            self.join.end(key)
        self.trackers = {kind: OffsetTracker(offset) for kind, offset in self.committed.items()}
        self.read = dict(self.committed)
        self.unsent: list[Joined[Part, tuple[str, int]]] = []

    @rule(wanted=needs, shuffled=st.permutations(KINDS))
    def say(self, wanted: frozenset[str], shuffled: list[str]) -> None:
        """An utterance and its parts are published, each to its own log."""
        key = f"k{len(self.wanted)}"
        self.wanted[key] = wanted
        for kind in shuffled:
            if kind == "anchor" or kind in wanted:
                self.logs[kind].append(Part(key, kind, wanted))

    @rule(kind=st.sampled_from(KINDS))
    def repeat(self, kind: str) -> None:
        if self.logs[kind]:
            self.logs[kind].append(self.logs[kind][len(self.logs[kind]) // 2])

    @rule(kind=st.sampled_from(KINDS), count=st.integers(1, 4))
    def deliver(self, kind: str, count: int) -> None:
        for _ in range(count):
            offset = self.read[kind]
            if offset == len(self.logs[kind]):
                return
            part = self.logs[kind][offset]
            self.read[kind] += 1
            self.trackers[kind].open(offset)
            try:
                joined = self.join.add(part.key, kind, part, (kind, offset), self.now)
            except AlreadyJoined:
                if all(waiting.key != part.key for waiting in self.unsent):
                    self.trackers[kind].done(offset)
                else:  # not before the joined record is durable
                    position = next(i for i, waiting in enumerate(self.unsent) if waiting.key == part.key)
                    old = self.unsent[position]
                    self.unsent[position] = Joined(old.key, old.parts, (*old.tickets, (kind, offset)), old.complete)
            else:
                self.unsent += [joined] if joined else []

    @precondition(lambda self: self.unsent)
    @rule(acknowledge=st.booleans())
    def publish(self, acknowledge: bool) -> None:
        """The oldest output becomes durable; the process may die before it can say so."""
        joined = self.unsent.pop(0)
        assert joined.complete
        self.outputs.append((joined.key, dict(joined.parts)))
        if not acknowledge:
            return self.crash()
        for kind, offset in joined.tickets:
            self.trackers[kind].done(offset)
        return None

    @rule(kinds=st.sets(st.sampled_from(KINDS)))
    def commit(self, kinds: set[str]) -> None:
        for kind in kinds:
            self.committed[kind] = self.trackers[kind].position

    @rule()
    def crash(self) -> None:
        self.begin()

    @rule()
    def rebalance(self) -> None:
        """The partitions go and come back: what is pending is forgotten and read again."""
        self.commit(set(KINDS))
        self.join.clear()
        self.trackers = {kind: OffsetTracker(offset) for kind, offset in self.committed.items()}
        self.read = dict(self.committed)
        # What was closed but is not durable yet is still on its way out, with tickets that no longer count.
        self.unsent = [Joined(one.key, one.parts, (), one.complete) for one in self.unsent]

    def teardown(self) -> None:
        for _ in range(3):
            for kind in KINDS:
                self.deliver(kind, 10_000)
            while self.unsent:
                self.publish(acknowledge=True)
        found = Counter(key for key, _ in self.outputs)
        assert found == Counter(dict.fromkeys(self.wanted, 1)), "an utterance was lost or joined twice"
        for key, parts in self.outputs:
            wanted = self.wanted[key]
            assert parts == {kind: Part(key, kind, wanted) for kind in ("anchor", *wanted)}


Crashes.TestCase.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
TestCrashes = Crashes.TestCase
