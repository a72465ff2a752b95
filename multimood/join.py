"""The join: parts of an utterance, arriving in any order, become one record exactly once. Pure: time comes in.

Nothing is stored beyond memory. A part's ticket (its Kafka record) is acknowledged only when the joined record is
durable, so the consumer offset is the state: after a crash the few open parts are read again.
"""

import heapq
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from multimood.seen import SeenIds

P = TypeVar("P")
T = TypeVar("T")

Kind = str


@dataclass(frozen=True, slots=True)
class Joined(Generic[P, T]):
    """What is known of `key` when it was complete or its time was up."""

    key: str
    parts: Mapping[Kind, P]
    tickets: Collection[T]
    complete: bool


@dataclass(slots=True)
class _Pending(Generic[P, T]):
    deadline: float
    parts: dict[Kind, P] = field(default_factory=dict)
    tickets: list[T] = field(default_factory=list)
    anchored: bool = False


class Join(Generic[P, T]):
    """Collects parts per key.

    `required(parts)` tells which kinds make a key complete, or None while that is not known (its anchor, the part that
    announces the others, has not arrived). A key that is anchored ends `deadline_s` after its anchor came; one that is
    not waits `orphan_s` for it. With more than `capacity` keys pending the oldest ends early, so memory is bounded.
    A key that closed with parts for which `ends` does not hold begins anew with its next part.
    """

    def __init__(
        self,
        required: Callable[[Mapping[Kind, P]], Collection[Kind] | None],
        *,
        deadline_s: float,
        orphan_s: float,
        capacity: int,
        prefer: Callable[[P, P], bool] = lambda _new, _old: False,
        ends: Callable[[Mapping[Kind, P]], bool] = lambda _parts: True,
        remembers: int = 200_000,
    ) -> None:
        self._required = required
        self._deadline_s = deadline_s
        self._orphan_s = orphan_s
        self._capacity = capacity
        self._prefer = prefer
        self._ends = ends
        self._pending: dict[str, _Pending[P, T]] = {}
        self._deadlines: list[tuple[float, str]] = []
        self._ended = SeenIds(remembers)

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def held(self) -> int:
        """Tickets of the pending keys."""
        return sum(len(pending.tickets) for pending in self._pending.values())

    def end(self, key: str) -> None:
        """Note that `key` was joined before, by an earlier life of ours."""
        self._ended.add(key)

    def add(self, key: str, kind: Kind, part: P, ticket: T, now: float) -> Joined[P, T] | None:
        """Take a part. Returns the joined record when this part completed it, else None.

        A part of a key that has ended raises AlreadyJoined: its ticket may be acknowledged at once. Of two parts of one
        kind the first stays unless `prefer(new, old)`; both tickets wait for the key's end.
        """
        if key in self._ended:
            raise AlreadyJoined(key)
        pending = self._pending.get(key)
        if pending is None:
            pending = self._pending[key] = _Pending(now + self._orphan_s)
            heapq.heappush(self._deadlines, (pending.deadline, key))
        pending.tickets.append(ticket)
        held = pending.parts.get(kind)
        if held is None or self._prefer(part, held):
            pending.parts[kind] = part
        required = self._required(pending.parts)
        if required is None:
            return None
        if not pending.anchored:
            pending.anchored = True
            pending.deadline = now + self._deadline_s
            heapq.heappush(self._deadlines, (pending.deadline, key))
        if pending.parts.keys() >= set(required):
            return self._close(key, complete=True)
        return None

    def expire(self, now: float) -> Iterator[Joined[P, T]]:
        """End every key whose time is up, and the oldest ones when too many are pending."""
        while self._deadlines and (self._deadlines[0][0] <= now or len(self._pending) > self._capacity):
            deadline, key = heapq.heappop(self._deadlines)
            pending = self._pending.get(key)
            if pending is not None and pending.deadline == deadline:
                yield self._close(key, complete=False)

    def next_deadline(self) -> float | None:
        """When `expire` has something to do next; it may have nothing to do then."""
        if len(self._pending) > self._capacity:
            return 0.0
        return self._deadlines[0][0] if self._deadlines else None

    def clear(self) -> None:
        """Forget what is pending (its parts will come again), not what has ended."""
        self._pending.clear()
        self._deadlines.clear()

    def _close(self, key: str, *, complete: bool) -> Joined[P, T]:
        pending = self._pending.pop(key)
        if self._ends(pending.parts):
            self._ended.add(key)
        return Joined(key, pending.parts, tuple(pending.tickets), complete)


class AlreadyJoined(Exception):  # noqa: N818 - not an error: the ordinary fate of a duplicate
    """The key has ended; the part is late or a duplicate."""

    def __init__(self, key: Hashable) -> None:
        super().__init__(key)
