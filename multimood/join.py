"""The join: parts of an utterance, arriving in any order, become one record exactly once. Pure: time comes in.

Nothing is stored beyond memory. A part's ticket (its Kafka record) is acknowledged only when the joined record is
durable, so the consumer offset is the state: after a crash the few open parts are read again.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
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
    tickets: Sequence[T]
    complete: bool


@dataclass(slots=True)
class _Pending(Generic[P, T]):
    deadline: float
    parts: dict[Kind, P] = field(default_factory=dict)
    tickets: list[T] = field(default_factory=list)
    required: frozenset[Kind] | None = None
    """None until its anchor is here."""


class Join(Generic[P, T]):
    """Collects parts per key.

    `required(parts)` tells which kinds make a key complete, or None while that is not known (its anchor, the part that
    announces the others, has not arrived); once known it stays so. A key that is anchored ends `deadline_s` after its
    anchor came; one that is not waits `orphan_s` for it. With more than `capacity` keys pending some end early, so
    memory is bounded: those without an anchor first, then those whose time is up next.

    A key without its anchor is dropped rather than ended: should the anchor come after all, it is joined, without the
    parts that could not wait. Neither is a key ended that closed with parts for which `ends` does not hold: it begins
    anew with its next part.
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
        # Two queues instead of a heap: within each all wait equally long, so the first is always the next.
        self._orphans: OrderedDict[str, _Pending[P, T]] = OrderedDict()
        self._anchored: OrderedDict[str, _Pending[P, T]] = OrderedDict()
        self._held = 0
        self._ended = SeenIds(remembers)

    def __len__(self) -> int:
        return len(self._orphans) + len(self._anchored)

    @property
    def held(self) -> int:
        """Tickets of the pending keys."""
        return self._held

    def end(self, key: str) -> None:
        """Note that `key` was joined before, by an earlier life of ours."""
        self._ended.add(key)

    def reopen(self, key: str) -> None:
        """Note that what was made of `key` came to nothing: its parts are welcome again."""
        self._ended.discard(key)

    def add(self, key: str, kind: Kind, part: P, ticket: T, now: float) -> Joined[P, T] | None:
        """Take a part. Returns the joined record when this part completed it, else None.

        A part of a key that has ended raises AlreadyJoined: its ticket may be acknowledged as soon as the joined record
        is durable. Of two parts of one kind the first stays unless `prefer(new, old)`; both tickets wait for the key's
        end. `now` never goes back.
        """
        if key in self._ended:
            raise AlreadyJoined(key)
        pending = self._anchored.get(key) or self._orphans.get(key)
        if pending is None:
            pending = self._orphans[key] = _Pending(now + self._orphan_s)
        pending.tickets.append(ticket)
        self._held += 1
        held = pending.parts.get(kind)
        if held is None or self._prefer(part, held):
            pending.parts[kind] = part
        if pending.required is None:
            required = self._required(pending.parts)
            if required is None:
                return None
            pending.required = frozenset(required)
            pending.deadline = now + self._deadline_s
            del self._orphans[key]
            self._anchored[key] = pending
        if pending.required <= pending.parts.keys():
            return self._close(key, self._anchored, complete=True)
        return None

    def expire(self, now: float) -> Iterator[Joined[P, T]]:
        """End every key whose time is up, and more when too many are pending."""
        for queue in (self._orphans, self._anchored):
            while queue:
                key, pending = next(iter(queue.items()))
                if pending.deadline > now and len(self) <= self._capacity:
                    break
                yield self._close(key, queue, complete=False)

    def next_deadline(self) -> float | None:
        """When `expire` has something to do next."""
        if len(self) > self._capacity:
            return 0.0
        deadlines = [next(iter(queue.values())).deadline for queue in (self._orphans, self._anchored) if queue]
        return min(deadlines, default=None)

    def clear(self) -> None:
        """Forget what is pending (its parts will come again), not what has ended."""
        self._orphans.clear()
        self._anchored.clear()
        self._held = 0

    def _close(self, key: str, queue: OrderedDict[str, _Pending[P, T]], *, complete: bool) -> Joined[P, T]:
        pending = queue.pop(key)
        self._held -= len(pending.tickets)
        if pending.required is not None and self._ends(pending.parts):
            self._ended.add(key)
        return Joined(key, pending.parts, tuple(pending.tickets), complete)


class AlreadyJoined(Exception):  # noqa: N818 - not an error: the ordinary fate of a duplicate
    """The key has ended; the part is late or a duplicate."""

    def __init__(self, key: Hashable) -> None:
        super().__init__(key)
