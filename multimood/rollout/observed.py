"""What became of the conversations of champion and challenger, folded from the topics. Pure; ids and numbers only."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import Message

from multimood.contracts.v1 import events_pb2 as pb
from multimood.rollout.guard import Figure, judge

MOST_CONVERSATIONS: Final = 50_000
"""Further ones are not counted: what so many do not show, more will not."""
MOST_TURNS: Final = 100_000
"""Utterances whose reply or score is waited for; the oldest are given up."""
_US: Final = 1000.0


@dataclass(slots=True)
class _Mean:
    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        self.total += value
        self.count += 1


@dataclass(slots=True)
class _Conversation:
    """One conversation while it belonged to one version."""

    means: dict[str, _Mean] = field(default_factory=dict)
    flags: dict[str, bool] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.means.setdefault(name, _Mean()).add(value)


@dataclass(slots=True)
class _Turn:
    """An utterance, of which some records may come before the one that says to which version it was given."""

    of: _Conversation | None = None
    early: list[tuple[str, float]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Given:
    """What a record says of the version that its utterance was given to."""

    context: pb.Context
    assigned: str
    """Version; empty: to none."""
    served: str
    """The version that answered; empty: none did."""
    step: str
    """Of the rollout."""


def of_policy(message: Message) -> Given | None:
    """Of a policy the decision says it."""
    if not isinstance(message, pb.Decision):
        return None
    return Given(message.context, message.policy_assigned, message.policy_served, message.rollout_step)


def of_reply_model(message: Message) -> Given | None:
    """Of a reply model the reply does; a vetted one, too, where the model was to write."""
    if not isinstance(message, pb.Reply):
        return None
    served = message.model_version.partition("@")[0]
    return Given(message.context, message.model_assigned, served, message.rollout_step)


Reads = Callable[[Message], Given | None]


class Observed:
    """Folds decisions, replies, trust scores and escalations, in whatever order and however often they come.

    Only utterances count that were given to a version by a step of this rollout: `step` tells it of each, and `reads`
    finds in a record which version that was.
    """

    def __init__(self, champion: str, challenger: str, reads: Reads = of_policy) -> None:
        self._versions = (champion, challenger)
        self._reads = reads
        self._steps: set[str] = set()
        self._turns: OrderedDict[str, _Turn] = OrderedDict()
        self._conversations: dict[str, dict[str, _Conversation]] = {champion: {}, challenger: {}}
        self._latest: dict[str, _Conversation] = {}
        self.utterances: dict[str, int] = {champion: 0, challenger: 0}

    def step(self, identity: str) -> None:
        """Count utterances that this step led to."""
        self._steps.add(identity)

    def conversations(self, version: str) -> int:
        """How many belonged to a version."""
        return len(self._conversations[version])

    def see(self, message: Message) -> None:
        """Take a record of one of the topics."""
        given = self._reads(message)
        if given is not None:
            self._give(given)
        if isinstance(message, pb.Reply):
            is_vetted = message.source == pb.REPLY_SOURCE_VETTED_FALLBACK
            self._note(message.context, "refused_replies", float(is_vetted))
            if (latency_ms := _latency_ms(message.hops)) is not None:
                self._note(message.context, "latency_ms", latency_ms)
        elif isinstance(message, pb.TrustScore):
            if message.HasField("reward"):
                self._note(message.context, "trust", message.reward)
            self._note(message.context, "safety_failures", float(message.crisis_gate_failed))
        elif isinstance(message, pb.Escalation):
            known = self._latest.get(_conversation_of(message.context))
            if known is not None:
                known.flags["escalations"] = True

    def figures(self, least: int) -> tuple[Figure, ...]:
        """What the guards say now."""
        champion, challenger = (self._values(version) for version in self._versions)
        return judge(champion, challenger, least)

    def _give(self, given: Given) -> None:
        version, context = given.assigned, given.context
        if version not in self._versions or given.step not in self._steps:
            return
        turn = self._turn(context)
        if turn.of is not None:
            return
        of, name = self._conversations[version], _conversation_of(context)
        if name not in of:
            if len(of) >= MOST_CONVERSATIONS:
                return
            of[name] = _Conversation(flags={"escalations": False, "safety_failures": False})
        turn.of = self._latest[name] = of[name]
        self.utterances[version] += 1
        turn.of.add("unanswered", float(given.served != version))
        for early in turn.early:
            _count(turn.of, *early)
        turn.early.clear()

    def _note(self, context: pb.Context, name: str, value: float) -> None:
        turn = self._turn(context)
        if name in turn.seen:
            return
        turn.seen.add(name)
        if turn.of is None:
            turn.early.append((name, value))
        else:
            _count(turn.of, name, value)

    def _turn(self, context: pb.Context) -> _Turn:
        name = f"{_conversation_of(context)}/{context.utterance_id}"
        turn = self._turns.get(name)
        if turn is None:
            turn = self._turns[name] = _Turn()
            if len(self._turns) > MOST_TURNS:
                self._turns.popitem(last=False)
        return turn

    def _values(self, version: str) -> Mapping[str, Sequence[float]]:
        """One value a conversation, by guard."""
        found: dict[str, list[float]] = {}
        for conversation in self._conversations[version].values():
            for name, mean in conversation.means.items():
                found.setdefault(name, []).append(mean.total / mean.count)
            for name, flag in conversation.flags.items():
                found.setdefault(name, []).append(float(flag))
        return found


def _count(conversation: _Conversation, name: str, value: float) -> None:
    if name in conversation.flags:
        conversation.flags[name] |= bool(value)
    else:
        conversation.add(name, value)


def _conversation_of(context: pb.Context) -> str:
    return f"{context.tenant}/{context.conversation_id}"


def _latency_ms(hops: Sequence[pb.Hop]) -> float | None:
    if not hops:
        return None
    begin, end = min(hop.received_at_us for hop in hops), max(hop.produced_at_us for hop in hops)
    return (end - begin) / _US if begin > 0 and end >= begin else None
