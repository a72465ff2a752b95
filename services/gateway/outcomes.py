"""What became of utterances, as the followers of the bus saw it: bounded, by full name, with waiters. Pure."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import Message

from multimood.contracts.v1 import events_pb2 as pb
from multimood.contracts.v1 import gateway_pb2 as gw
from services.gateway.turn import Key

ENTRY_BYTES: Final = 600
"""What an outcome costs beside its messages."""
MOST_DELTAS: Final = 8_192


@dataclass(slots=True)
class Outcome:
    """All that is known of one utterance."""

    accepted: bool = False
    """It is on the bus."""
    decision: pb.Decision | None = None
    reply: pb.Reply | None = None
    escalation: pb.Escalation | None = None
    trust: pb.TrustScore | None = None
    rejected: gw.Rejected | None = None
    deltas: list[pb.ReplyDelta] = field(default_factory=list)
    """Pieces of one attempt at the reply, without gaps, from the first."""
    _whole: bool = True
    """No other attempt and no gap was seen: pieces may still be added."""

    def add(self, message: Message) -> int:
        """Take a message in; gives by how many bytes the outcome grew, 0 when it says nothing new.

        The first reply, decision and escalation stay: what comes later is a repetition, or not to be believed. The
        newest trust score stays: feedback may have changed it. A reply makes a rejection void (replayed dead letter).
        """
        match message:
            case pb.Utterance() if not self.accepted:
                self.accepted = True
                return 1
            case pb.Decision() if self.decision is None:
                self.decision = message
            case pb.Reply() if self.reply is None:
                self.reply, self.rejected = _without_unsent(message), None
            case pb.Escalation() if self.escalation is None:
                self.escalation = message
            case pb.TrustScore() if self.trust != message:
                self.trust = message
            case gw.Rejected() if self.rejected is None and self.reply is None:
                self.rejected = message
            case pb.ReplyDelta() if self._follows(message):
                self.deltas.append(message)
            case _:
                return 0
        return message.ByteSize() + 1

    def drop_pieces(self) -> int:
        """Forget the pieces: the reply has them all. Gives the bytes freed."""
        freed = sum(delta.ByteSize() + 1 for delta in self.deltas)
        self.deltas.clear()
        return freed

    def _follows(self, delta: pb.ReplyDelta) -> bool:
        """Tell whether a piece is the next one.

        A second attempt (its writer was restarted) ends the pieces for good: what was sent cannot be taken back, so the
        rest comes with the full reply.
        """
        if not self._whole:
            return False
        if self.deltas and delta.attempt != self.deltas[0].attempt:
            self._whole = False
            return False
        if delta.index < len(self.deltas):
            return False
        self._whole = delta.index == len(self.deltas) < MOST_DELTAS
        return self._whole


class Watch:
    """One waiter's view of an outcome."""

    __slots__ = ("_changed", "outcome")

    def __init__(self, outcome: Outcome | None) -> None:
        self.outcome = outcome
        self._changed = asyncio.Event()

    def notify(self, outcome: Outcome) -> None:
        """Say that something is new."""
        self.outcome = outcome
        self._changed.set()

    async def wait(self, timeout_s: float) -> bool:
        """Wait for something new, at most so long; tells whether there is."""
        try:
            async with asyncio.timeout(max(0.0, timeout_s)):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True


@dataclass(slots=True)
class _Slot:
    outcome: Outcome
    bytes: int
    used_at: float


class Outcomes:
    """Outcomes by key: at most so many, so large together and so old; the least recently used go first.

    What is being watched stays, so that an open call never loses what it has not told yet.
    """

    def __init__(
        self, *, most: int, most_bytes: int, ttl_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._ttl_s = ttl_s
        self._clock = clock
        self._slots: OrderedDict[Key, _Slot] = OrderedDict()
        self._watches: dict[Key, list[Watch]] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._slots)

    def see(self, key: Key, message: Message) -> None:
        """Take note of a message about an utterance and wake whoever waits for it."""
        watches = self._watches.get(key, ())
        if isinstance(message, pb.ReplyDelta) and not watches:
            return  # nobody will ever be sent it: the reply itself follows
        slot = self._slots.get(key) or _Slot(Outcome(), 0, 0.0)
        grown = slot.outcome.add(message)
        if not grown:
            return
        if key not in self._slots:
            self._slots[key] = slot
            grown += ENTRY_BYTES
        slot.bytes += grown
        self.bytes += grown
        self._use(key, slot)
        for watch in watches:
            watch.notify(slot.outcome)
        self._evict()

    def get(self, key: Key) -> Outcome | None:
        """Give what is known of an utterance; nothing is known of one that was never seen or is forgotten."""
        slot = self._slots.get(key)
        if slot is None or self._is_old(slot):
            return None
        self._use(key, slot)
        return slot.outcome

    def forget(self, tenant: str, conversation_id: str) -> None:
        """Forget what was said in a conversation; that its utterances were accepted stays known.

        A call that is open keeps what it waits for until it ends.
        """
        for key, slot in self._slots.items():
            if (key.tenant, key.conversation_id) == (tenant, conversation_id) and key not in self._watches:
                self.bytes -= slot.bytes - ENTRY_BYTES
                slot.outcome, slot.bytes = Outcome(accepted=True), ENTRY_BYTES

    @contextmanager
    def watch(self, key: Key) -> Iterator[Watch]:
        """Watch an utterance, also one that is not known yet. Costs nothing once the block is left."""
        watch = Watch(self.get(key))
        self._watches.setdefault(key, []).append(watch)
        try:
            yield watch
        finally:
            watches = self._watches[key]
            watches.remove(watch)
            if not watches:
                del self._watches[key]
                self._tidy(key)

    def _tidy(self, key: Key) -> None:
        slot = self._slots.get(key)
        if slot is not None and slot.outcome.reply is not None:
            freed = slot.outcome.drop_pieces()
            slot.bytes -= freed
            self.bytes -= freed

    def _use(self, key: Key, slot: _Slot) -> None:
        slot.used_at = self._clock()
        self._slots.move_to_end(key)

    def _is_old(self, slot: _Slot) -> bool:
        return self._clock() - slot.used_at > self._ttl_s

    def _evict(self) -> None:
        for _ in range(len(self._watches) + 2):
            if not self._slots:
                return
            key, slot = next(iter(self._slots.items()))
            if len(self._slots) <= self._most and self.bytes <= self._most_bytes and not self._is_old(slot):
                return
            if key in self._watches:
                self._use(key, slot)
                continue
            del self._slots[key]
            self.bytes -= slot.bytes


def _without_unsent(reply: pb.Reply) -> pb.Reply:
    """The reply without the texts that were written for it and not sent: nobody may see what the guard refused."""
    for attempt in reply.attempts:
        attempt.ClearField("text")
    return reply
