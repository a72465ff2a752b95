"""Escalations that wait for a human: what is open, who is told next, when it is closed. Pure.

What is known of an escalation is folded from its records (`Escalation`, `Acknowledgement`). Whether it is open does not
depend on their order or on how often each comes: the two topics are read back one after the other, and a record may be
there twice.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from multimood.contracts.v1 import events_pb2 as pb
from multimood.safety.crisis_policy import CrisisPolicy
from multimood.safety.risk import is_crisis, outranks
from multimood.topics import ESCALATION

SECOND_US: Final = 1_000_000
LAPSES_US: Final = ESCALATION.retention_ms * 1000
"""After its last crisis an escalation is open for as long as its record is kept: else a restart would close it."""
REMEMBERED: Final = 50_000
MOST_NOTICES: Final = 2**32 - 1
"""The contract's largest number."""
LATEST_US: Final = 250_000_000_000_000_000
"""In the year 9892. What claims to be later is taken for then, so that seconds can be added and dates be written."""

Key: TypeAlias = tuple[str, str, str]
"""Tenant, conversation and escalation."""


@dataclass(frozen=True, slots=True)
class Handover:
    """An escalation. Times are microseconds since the epoch."""

    id: str
    context: pb.Context
    """Of the utterance that opened it."""
    level: pb.RiskLevel
    """The gravest of its crises."""
    opened_at_us: int
    level_at_us: int
    """When it reached its level: the policy's steps count from here."""
    level_by: str
    """The utterance whose crisis did that, if its record is known."""
    crisis_at_us: int
    """Its latest crisis: only who acknowledges after that can know of all."""
    notice: int
    """Notices so far."""
    notified_at_us: int
    notify: str
    """Who was told last."""

    @classmethod
    def of(cls, record: pb.Escalation) -> "Handover":
        """What one record tells."""
        at_us = min(max(record.raised_at_us, 0), LATEST_US)
        return cls(
            record.escalation_id, record.context, record.level, at_us, at_us,
            "" if record.notice else record.context.utterance_id, at_us,
            record.notice, max(at_us, min(record.notified_at_us, LATEST_US)), record.notify,
        )  # fmt: skip

    def with_(self, other: "Handover") -> "Handover":
        """What both tell."""
        first = min(self, other, key=lambda one: one.opened_at_us)
        last = max(self, other, key=lambda one: one.notified_at_us)
        if self.level == other.level:
            graver = min(self, other, key=lambda one: (one.level_at_us, not one.level_by))
        else:
            graver = self if outranks(self.level, other.level) else other
        return replace(
            graver,
            context=first.context,
            opened_at_us=first.opened_at_us,
            crisis_at_us=max(self.crisis_at_us, other.crisis_at_us),
            notice=max(self.notice, other.notice),
            notified_at_us=last.notified_at_us,
            notify=last.notify,
        )

    @property
    def key(self) -> Key:
        """What it is known by."""
        return self.context.tenant, self.context.conversation_id, self.id

    def has_lapsed(self, now_us: int) -> bool:
        """Whether its records need not be kept any more."""
        return now_us - self.crisis_at_us >= LAPSES_US

    def due_at_us(self, policy: CrisisPolicy) -> int:
        """When somebody is to be told next."""
        since_s = (self.notified_at_us - self.level_at_us) / SECOND_US
        return self.level_at_us + round(policy.of(self.level).next_after(since_s) * SECOND_US)


class Handovers:
    """All escalations that are open, and which were closed; the longest known go first beyond `most` of either.

    An escalation is known by its conversation and its id, so nobody closes another tenant's.
    """

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._known: OrderedDict[Key, Handover] = OrderedDict()
        self._closed: OrderedDict[Key, int] = OrderedDict()
        self._of: dict[tuple[str, str], set[Key]] = {}
        """By conversation."""
        self.epoch = 0
        """How often everything was forgotten: what was begun in another epoch knows nothing of this one."""

    def see(self, message: pb.Escalation | pb.Acknowledgement) -> None:
        """Take a record in. One without an id is older than handovers: nobody waits for its acknowledgement."""
        if not message.escalation_id:
            return
        key = (message.context.tenant, message.context.conversation_id, message.escalation_id)
        if isinstance(message, pb.Acknowledgement):
            self._closed[key] = max(self._closed.get(key, 0), message.acknowledged_at_us)
            if len(self._closed) > self._most:
                self._closed.popitem(last=False)
        elif is_crisis(message.level):
            told, known = Handover.of(message), self._known.get(key)
            self._known[key] = told if known is None else known.with_(told)
            self._of.setdefault(key[:2], set()).add(key)
            if len(self._known) > self._most:
                self._forget(next(iter(self._known)))
        found = self._known.get(key)
        if found is not None and self._closed.get(key, 0) >= found.crisis_at_us:
            self._forget(key)

    def __len__(self) -> int:
        """How many are open."""
        return len(self._known)

    def keys(self) -> Sequence[Key]:
        """What is open, the longest known first."""
        return tuple(self._known)

    def due(self, key: Key, policy: CrisisPolicy, now_us: int) -> Handover | None:
        """The escalation, if it is open and somebody is to be told of it now; what has lapsed is forgotten."""
        one = self._known.get(key)
        if one is None:
            return None
        if one.has_lapsed(now_us):
            self._forget(key)
            return None
        return one if one.due_at_us(policy) <= now_us else None

    def open_in(self, context: pb.Context, now_us: int) -> Handover | None:
        """The escalation that is open in a conversation: the gravest, should there be several."""
        gravest: Handover | None = None
        for key in sorted(self._of.get((context.tenant, context.conversation_id), ())):
            one = self._known[key]
            if not one.has_lapsed(now_us) and (gravest is None or outranks(one.level, gravest.level)):
                gravest = one
        return gravest

    def open(self, now_us: int) -> Sequence[Handover]:
        """Everything that is open, the oldest first; what has lapsed is forgotten."""
        for one in [one for one in self._known.values() if one.has_lapsed(now_us)]:
            self._forget(one.key)
        return sorted(self._known.values(), key=lambda one: (one.opened_at_us, one.id))

    def oldest_s(self, now_us: int) -> float:
        """For how many seconds the oldest has been open; 0 when none is."""
        opened_at_us = min((one.opened_at_us for one in self._known.values()), default=now_us)
        return max(0.0, (now_us - opened_at_us) / SECOND_US)

    def clear(self) -> None:
        """Forget everything: it will be read back by whoever has it then."""
        self._known.clear()
        self._closed.clear()
        self._of.clear()
        self.epoch += 1

    def _forget(self, key: Key) -> None:
        del self._known[key]
        others = self._of[key[:2]]
        others.discard(key)
        if not others:
            del self._of[key[:2]]


def raised(
    context: pb.Context, *, level: pb.RiskLevel, rules: Sequence[str], version: str, identity: str,
    policy: CrisisPolicy, now_us: int, open_: Handover | None = None,
) -> pb.Escalation:  # fmt: skip
    """The record of a crisis: of a new escalation named `identity`, or of the one that is open in the conversation."""
    crisis = pb.Escalation(
        context=context, level=level, raised_at_us=now_us, rules=rules, version=version, notified_at_us=now_us,
        escalation_id=identity if open_ is None else open_.id, policy_version=policy.version,
    )  # fmt: skip
    joined = Handover.of(crisis) if open_ is None else open_.with_(Handover.of(crisis))
    _address(crisis, joined, policy, now_us)
    return crisis


def noticed(handover: Handover, policy: CrisisPolicy, now_us: int) -> pb.Escalation:
    """The next notice of an escalation that nobody has acknowledged."""
    notice = pb.Escalation(
        context=handover.context, level=handover.level, raised_at_us=handover.level_at_us, notified_at_us=now_us,
        escalation_id=handover.id, notice=min(handover.notice + 1, MOST_NOTICES), policy_version=policy.version,
    )  # fmt: skip
    _address(notice, handover, policy, now_us)
    return notice


def _address(record: pb.Escalation, handover: Handover, policy: CrisisPolicy, now_us: int) -> None:
    step, end_s = policy.of(handover.level).step_at((now_us - handover.level_at_us) / SECOND_US)
    record.notify = step.role
    if end_s is not None:
        record.acknowledge_by_us = handover.level_at_us + round(end_s * SECOND_US)
