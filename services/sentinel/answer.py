"""From a verdict to what is published about it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from multimood import topics
from multimood.bus.envelope import Output, event_id, output, utterance_name
from multimood.contracts.v1 import events_pb2 as pb
from multimood.safety import CrisisPolicy, Handover, Kind, Verdict, VettedReplies
from multimood.safety.handover import raised
from multimood.safety.persons import ADVICE
from multimood.safety.risk import RISK, is_crisis, outranks
from services.sentinel.words import Wordless


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

    def advised(self, version: str, *, at_risk: bool) -> "Opinion":
        """The same with the advice of this version of the judge of persons: no risk becomes low, and nothing else."""
        opinion = replace(self, version=f"{self.version}+{version}")
        if not at_risk or opinion.level != pb.RISK_LEVEL_NONE:
            return opinion
        return replace(opinion, level=pb.RISK_LEVEL_LOW, rules=(*opinion.rules, ADVICE))

    @classmethod
    def on_nothing(cls, why: Wordless, version: str) -> "Opinion":
        """An opinion where there are no words."""
        return cls(why.level, (why.rule,), 0.0, version)


@dataclass(frozen=True, slots=True)
class Approved:
    """What people have approved: the texts, and what follows a crisis."""

    replies: VettedReplies
    policy: CrisisPolicy


def outputs_of(  # noqa: PLR0917 - everything that an answer depends on
    context: pb.Context,
    opinion: Opinion,
    approved: Approved,
    open_: Handover | None,
    hop: pb.Hop,
    now_us: int,
    told: Sequence[str] = (),
) -> Sequence[Output]:
    """Everything that follows from an opinion, in the order in which it has to become durable.

    A crisis: the escalation, the vetted reply, the screening; else the screening alone. `open_`: the escalation that
    is open in the conversation. A crisis joins it, under its id. `told`: ids of the vetted texts that the conversation
    has had, the oldest first.
    """
    policy, level = approved.policy, opinion.level
    screening = pb.Screening(
        context=context, level=level, rules=opinion.rules, score=opinion.score, version=opinion.version, hops=[hop],
        held=open_ is not None and policy.of(open_.level).hold,
    )  # fmt: skip
    last = output(topics.SCREENING, screening)
    if not is_crisis(level):
        return (last,)
    escalation = raised(
        context, level=level, rules=opinion.rules, version=opinion.version,
        identity=event_id(utterance_name(context), topics.ESCALATION), policy=policy, now_us=now_us, open_=open_,
    )  # fmt: skip
    kind = _kind(context, level, open_, policy)
    vetted = approved.replies.reply(kind, context.locale, told)
    reply = pb.Reply(
        context=context, text=vetted.text, source=pb.REPLY_SOURCE_VETTED_CRISIS, reason=kind,
        vetted_id=f"{vetted.id}@{vetted.version}", hops=[hop],
    )  # fmt: skip
    return (output(topics.ESCALATION, escalation), output(topics.REPLY, reply), last)


def _kind(context: pb.Context, level: pb.RiskLevel, open_: Handover | None, policy: CrisisPolicy) -> Kind:
    """The text of the crisis, unless it was said of the open escalation already. After a crash it may be our own."""
    is_news = open_ is None or outranks(level, open_.level) or open_.level_by == context.utterance_id
    return policy.of(level).reply if is_news else policy.of(level).again
