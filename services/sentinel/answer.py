"""From a verdict to what is published about it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from multimood import topics
from multimood.bus.envelope import Output, output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.safety import Kind, Verdict, VettedReplies
from multimood.safety.risk import RISK, is_crisis
from services.sentinel.words import Wordless

_KIND: Final[dict[int, Kind]] = {pb.RISK_LEVEL_ELEVATED: "elevated", pb.RISK_LEVEL_IMMINENT: "imminent"}


@dataclass(frozen=True, slots=True)
class Opinion:
    """The sentinel's view of one event: ids and numbers, never words."""

    level: pb.RiskLevel
    rules: tuple[str, ...]
    score: float
    version: str

    @classmethod
    def of(cls, verdict: Verdict) -> "Opinion":
        """An opinion on words."""
        return cls(RISK[verdict.level], verdict.rules, verdict.score, verdict.version)

    @classmethod
    def on_nothing(cls, why: Wordless, version: str) -> "Opinion":
        """An opinion where there are no words."""
        return cls(why.level, (why.rule,), 0.0, version)


def outputs_of(
    context: pb.Context, opinion: Opinion, replies: VettedReplies, hop: pb.Hop, now_us: int
) -> Sequence[Output]:
    """Everything that follows from an opinion, in the order in which it has to become durable.

    A crisis: the escalation, the vetted reply, the screening; else the screening alone.
    """
    screening = pb.Screening(
        context=context, level=opinion.level, rules=opinion.rules, score=opinion.score, version=opinion.version,
        hops=[hop],
    )  # fmt: skip
    last = output(topics.SCREENING, screening)
    if not is_crisis(opinion.level):
        return (last,)
    escalation = pb.Escalation(
        context=context, level=opinion.level, raised_at_us=now_us, rules=opinion.rules, version=opinion.version
    )
    kind = _KIND[opinion.level]
    vetted = replies.reply(kind, context.locale)
    reply = pb.Reply(
        context=context, text=vetted.text, source=pb.REPLY_SOURCE_VETTED_CRISIS, reason=kind,
        vetted_id=f"{vetted.id}@{vetted.version}", hops=[hop],
    )  # fmt: skip
    return (output(topics.ESCALATION, escalation), output(topics.REPLY, reply), last)
