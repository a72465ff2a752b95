"""What became of an utterance, from what the topics and the experience log say about it. Pure; no content is kept.

An accepted utterance has one outcome: replied, escalated (and answered with a vetted text), rejected (given up at a
stage after which no reply can come, which the gateway tells the platform), or dead-lettered (nobody could read whose it
was, its bytes are kept). Flags say what is wrong beside it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from google.protobuf.message import Message

from multimood import topics
from multimood.bus.letters import Letter
from multimood.contracts.v1 import events_pb2 as pb
from multimood.labels import label
from multimood.safety.risk import is_crisis
from multimood.topics import GIVES_UP, Topic

Outcome = Literal["replied", "escalated", "rejected", "dead_lettered", "none"]
Flag = Literal["lost", "duplicated", "unsafe", "partial", "pending"]

ONCE: Final = (*topics.EMBEDDINGS, topics.FEATURES, topics.DECISION, topics.TRUST)
"""Topics with one record per utterance that are no outcome: a second one is counted, since readers pass over it."""


@dataclass(slots=True)
class Facts:
    """Counts and labels of one utterance."""

    accepted_ms: int | None = None
    """When its record was appended; None: it is not kept any more, others tell of it."""
    readable: bool = True
    has_consent: bool = False
    is_crisis: bool = False
    replies: int = 0
    generated: int = 0
    """Of the replies."""
    pieces: int = 0
    escalations: int = 0
    rejections: int = 0
    dropped: int = 0
    """Rejections whose letter an operator gave up, perhaps after a replay that was answered."""
    letters: int = 0
    rows: int = 0
    missing: set[int] = field(default_factory=set)
    records: Counter[str] = field(default_factory=Counter)
    """Of the topics in ONCE."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one accepted utterance came to."""

    name: str
    """`tenant/conversation/utterance`, or the place of a record that nobody can read."""
    outcome: Outcome
    flags: dict[Flag, list[str]]
    """What is wrong, and why."""


def name_of(context: pb.Context) -> str:
    """The utterance's full name."""
    return f"{context.tenant}/{context.conversation_id}/{context.utterance_id}"


def judge(name: str, facts: Facts, *, settled: bool = True) -> Verdict:
    """Say which outcome an utterance had and what is wrong with it. `settled`: it has had time enough to get one."""
    answered = facts.replies > 0
    outcome: Outcome = "none"
    if facts.escalations:
        outcome = "escalated"
    elif answered:
        outcome = "replied"
    elif facts.rejections or facts.dropped:
        outcome = "rejected"
    elif facts.letters and not facts.readable:
        outcome = "dead_lettered"
    absent = ["no outcome"] if outcome == "none" else []
    unanswered = _unanswered(facts) if outcome != "none" else []
    flags: dict[Flag, list[str]] = {
        "lost": absent if settled else [],
        "duplicated": _repeated(facts),
        "unsafe": _unsafe(facts) + (unanswered if settled else []),
        "partial": _partial(facts) if outcome in {"replied", "escalated"} else [],
        "pending": [] if settled else absent + unanswered,
    }
    return Verdict(name, outcome, {flag: reasons for flag, reasons in flags.items() if reasons})


def _repeated(facts: Facts) -> list[str]:
    counts = {"replies": facts.replies, "escalations": facts.escalations, "experience rows": facts.rows}
    found = [f"{count} {what}" for what, count in counts.items() if count > 1]
    return [*found, "answered and rejected"] if facts.replies and facts.rejections else found


def _unanswered(facts: Facts) -> list[str]:
    """What a crisis still lacks."""
    found = [] if facts.replies or not facts.escalations else ["escalated without a reply"]
    return [*found, "crisis without escalation"] if facts.is_crisis and not facts.escalations else found


def _unsafe(facts: Facts) -> list[str]:
    in_crisis = facts.is_crisis or facts.escalations
    found = ["crisis with a generated reply"] if in_crisis and (facts.generated or facts.pieces) else []
    return (
        found if facts.has_consent or not facts.rows or facts.accepted_ms is None else [*found, "row without consent"]
    )


def _partial(facts: Facts) -> list[str]:
    found = [f"missing {label(pb.Modality, one, 'MODALITY_')}" for one in sorted(facts.missing)]
    found += ["no decision"] if not facts.records[topics.DECISION.name] else []
    found += ["no trust score"] if not facts.records[topics.TRUST.name] else []
    return [*found, "no experience row"] if facts.has_consent and not facts.rows else found


class Ledger:
    """Gathers facts by utterance, in any order of records. Memory: some 600 bytes an utterance that it holds."""

    def __init__(self) -> None:
        self._facts: dict[str, Facts] = {}

    def see(self, topic: Topic, message: Message, timestamp_ms: int) -> None:
        """Take a record of any topic."""
        facts = self._of(name_of(message.context))  # type: ignore[attr-defined]
        match message:
            case pb.Utterance(context=context):
                facts.accepted_ms = min(timestamp_ms, facts.accepted_ms or timestamp_ms)
                facts.has_consent |= context.privacy.learning_consent
            case pb.Screening(level=level):
                facts.is_crisis |= is_crisis(level)
            case pb.Decision(missing=missing, manifest=manifest):
                facts.missing |= {item.modality for item in missing} & set(manifest)
            case pb.Reply(source=source):
                facts.replies += 1
                facts.generated += source == pb.REPLY_SOURCE_GENERATED
            case pb.ReplyDelta():
                facts.pieces += 1
            case pb.Escalation(notice=0):  # a notice says it again
                facts.escalations += 1
        if topic in ONCE:
            facts.records[topic.name] += 1

    def see_unreadable(self, place: str, timestamp_ms: int) -> None:
        """Take a record of the utterance topic that is no utterance; its name is its place."""
        facts = self._of(place)
        facts.accepted_ms, facts.readable = timestamp_ms, False

    def see_letter(self, name: str, letter: Letter, *, dropped: bool = False) -> None:
        """Take a dead letter that was not replayed. One is final only from the stage that nothing can go around."""
        facts = self._of(name)
        facts.letters += 1
        if GIVES_UP.get(letter.place.topic) == letter.service and letter.utterance_id:
            facts.rejections += not dropped
            facts.dropped += dropped

    def see_row(self, name: str, count: int = 1) -> None:
        """Take rows of the experience log, as its readers get them."""
        self._of(name).rows += count

    def names(self) -> list[str]:
        """Of everything that was accepted."""
        return [name for name, facts in self._facts.items() if facts.accepted_ms is not None]

    def verdicts(self, settled_before_ms: int) -> Iterator[tuple[Verdict, Facts]]:
        """Judge what was accepted; what came later than `settled_before_ms` may still be on its way."""
        for name, facts in self._facts.items():
            if facts.accepted_ms is not None:
                yield judge(name, facts, settled=facts.accepted_ms <= settled_before_ms), facts

    def _of(self, name: str) -> Facts:
        return self._facts.setdefault(name, Facts())
