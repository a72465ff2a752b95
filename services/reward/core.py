"""What the reward service thinks of a reply: the case for the judges, the gate, the record of the scores. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from google.protobuf.message import Message

from multimood import topics
from multimood.bus import Delivery, Event
from multimood.contracts.v1 import events_pb2 as pb
from multimood.experience.record import Origin
from multimood.safety.risk import verdict_of
from multimood.trust import (
    Judge,
    ReplyRules,
    TrustCase,
    TrustScores,
    TrustWeights,
    crisis_gate_failed,
    logged,
    panel_version,
    reward,
)

SERVICE: Final = "reward"
FORMULA: Final = "reward-1"

_VETTED: Final = frozenset({pb.REPLY_SOURCE_VETTED_CRISIS, pb.REPLY_SOURCE_VETTED_FALLBACK})


def origin_of(delivery: Delivery) -> Origin:
    """Where a record lies."""
    record = delivery.record
    return Origin(record.partition, record.offset, record.timestamp or 0)


def required(parts: Mapping[str, Event[Message]], *, scored: bool) -> Collection[str] | None:
    """Topics whose records make an utterance ready; None: wait.

    What was `scored` in an earlier life waits for nothing: each part, as it is read again, completes the row.
    """
    if scored:
        return ()
    return (topics.DECISION.name, topics.REPLY.name) if topics.REPLY.name in parts else None


def case_of(decision: pb.Decision | None, reply: pb.Reply) -> TrustCase:
    """What the judges see. Without the decision that is the reply alone."""
    if decision is None:
        return TrustCase((), reply.text, locale=reply.context.locale or "en")
    return logged.case_of(decision, reply.text)


def gate_failed(decision: pb.Decision | None, reply: pb.Reply, rules: ReplyRules) -> bool:
    """Say whether the reply broke the crisis rule; of a decision that is not known nobody can say what it allowed."""
    if reply.source in _VETTED:
        return False
    if decision is None:
        return any(fault.severe for fault in rules.find(reply.text))
    return crisis_gate_failed(verdict_of(decision.screening), reply.text, vetted=False, rules=rules)


def trust_score(
    context: pb.Context,
    scores: TrustScores,
    *,
    failed: bool,
    weights: TrustWeights,
    rules: ReplyRules,
    judges: Sequence[Judge],
    experience_key: str,
    hop: pb.Hop,
) -> pb.TrustScore:
    """The record to publish; a criterion that nobody scored has no score, and the panel says who could have."""
    message = pb.TrustScore(
        context=context,
        crisis_gate_failed=failed,
        reward_version=f"{FORMULA}+{weights.version}+{rules.version}+{panel_version(judges)}",
        experience_key=experience_key,
        hops=[hop],
        panel=[pb.Seat(judge=judge.name, judge_version=judge.version, criteria=judge.criteria) for judge in judges],
        absent=[pb.Absence(judge=judge, reason=reason) for judge, reason in scores.failures],
    )
    for one in scores.scores:
        item = message.scores.add(criterion=one.criterion, judge=one.judge, judge_version=one.judge_version)
        if one.score is not None:
            item.score = one.score
    value = reward(scores, failed, weights=weights)
    if value is not None:
        message.reward = value
    return message


def may_learn(messages: Iterable[pb.Decision | pb.Reply | None]) -> bool:
    """Tell whether the person allowed learning; every record must say so."""
    return all(message.context.privacy.learning_consent for message in messages if message is not None)
