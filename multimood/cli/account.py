"""What became of one turn, as a person or a program wants to read it. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from multimood.client import TurnInput
from multimood.contracts.v1 import events_pb2 as pb
from multimood.contracts.v1 import gateway_pb2 as gw
from multimood.labels import label
from multimood.taxonomy import CRITERIA, MODALITIES

BY_NAME = {"text": pb.MODALITY_TEXT, "audio": pb.MODALITY_AUDIO, "video": pb.MODALITY_VIDEO}


@dataclass(slots=True)
class TurnAccount:
    """Collects the responses of a `converse` call."""

    utterance_id: str
    announced: tuple[str, ...]
    decision: pb.Decision | None = None
    reply: pb.Reply | None = None
    escalation: pb.Escalation | None = None
    trust: pb.TrustScore | None = None
    rejected: gw.Rejected | None = None
    pieces: list[str] = field(default_factory=list)
    first_token_ms: float | None = None
    """From sending to the first words of the reply, by this machine's clock."""
    total_ms: float | None = None
    """From sending to the whole reply."""

    @classmethod
    def of(cls, turn: TurnInput) -> "TurnAccount":
        """Begin an account of nothing yet."""
        given = {"text": turn.text.strip(), "audio": turn.audio, "video": turn.video}
        return cls(turn.utterance_id, tuple(name for name in MODALITIES if given[name]))

    def take(self, response: gw.ConverseResponse, elapsed_ms: float) -> str:
        """Take a response in; gives which part it was."""
        part = str(response.WhichOneof("part"))
        if part in {"delta", "reply"} and self.first_token_ms is None:
            self.first_token_ms = elapsed_ms
        if part == "delta":
            self.pieces.append(response.delta.text)
        elif part != "accepted":
            setattr(self, part, getattr(response, part))
        if part == "reply":
            self.total_ms = elapsed_ms
        return part

    def modalities(self) -> dict[str, dict[str, Any]]:
        """Per modality: status "ok" or "missing", the reason, and the emotion it shows by itself.

        Announced ones, and text when the words came by a transcript of the audio.
        """
        if self.decision is None:
            return {name: {"status": "missing", "reason": "no_decision", "emotion": None} for name in self.announced}
        missing = {item.modality: item.reason for item in self.decision.missing}
        emotions = {item.modality: distribution(item.emotion) for item in self.decision.modality_emotions}
        heard = "text" not in self.announced and "audio" in self.announced and pb.MODALITY_TEXT not in missing
        names = [name for name in MODALITIES if name in self.announced or (name == "text" and heard)]
        return {
            name: {
                "status": "missing" if BY_NAME[name] in missing else "ok",
                "reason": reason_label(missing[BY_NAME[name]]) if BY_NAME[name] in missing else None,
                "emotion": emotions.get(BY_NAME[name]),
            }
            for name in names
        }

    def scores(self) -> dict[str, float | None]:
        """All seven trust criteria, 1 to 10; None where nobody could score."""
        given = (
            {item.criterion: item.score for item in self.trust.scores if item.HasField("score")} if self.trust else {}
        )
        return {criterion: given.get(criterion) for criterion in CRITERIA}

    def reward(self) -> float | None:
        """Give the reward, 0 to 1, if there is one."""
        return self.trust.reward if self.trust is not None and self.trust.HasField("reward") else None

    def timings_ms(self) -> dict[str, float]:
        """Milliseconds per service, then what the caller saw: `first_token` and `total`.

        A service that did two things at once for the utterance (hearing words and sound) counts with the longer one.
        """
        timings: dict[str, float] = {}
        for hop in self._hops():
            spent = max(0, hop.produced_at_us - hop.received_at_us) / 1000
            timings[hop.service] = round(max(spent, timings.get(hop.service, 0.0)), 1)
        seen = {"first_token": self.first_token_ms, "total": self.total_ms}
        return {**timings, **{name: round(value, 1) for name, value in seen.items() if value is not None}}

    def as_json(self) -> dict[str, Any]:
        """Give the object that `multimood talk --json` prints. Its modalities are the announced ones."""
        return {
            "utterance_id": self.utterance_id,
            "modalities": {name: seen for name, seen in self.modalities().items() if name in self.announced},
            "decision": _decision_json(self.decision),
            "reply": self.reply.text if self.reply is not None else None,
            "trust": self.scores(),
            "reward": self.reward(),
            "escalation": _escalation_json(self.escalation),
            "timings_ms": self.timings_ms(),
        }

    def _hops(self) -> Iterable[pb.Hop]:
        for message in (self.decision, self.reply, self.trust):
            if message is not None:
                yield from message.hops


def distribution(probabilities: Sequence[pb.Probability]) -> dict[str, float]:
    """Label to probability, in the order given."""
    return {item.label: item.p for item in probabilities}


def reason_label(reason: pb.MissingReason) -> str:
    """Give the stable lower-case label of a missing modality."""
    return label(pb.MissingReason, reason, "MISSING_REASON_")


def level_label(level: pb.RiskLevel) -> str:
    """Give the lower-case label of a risk level."""
    return label(pb.RiskLevel, level, "RISK_LEVEL_")


def _decision_json(decision: pb.Decision | None) -> dict[str, Any] | None:
    if decision is None:
        return None
    return {
        "user_emotion": distribution(decision.user_emotion),
        "intensity": decision.intensity,
        "stage": decision.stage,
        "system_emotion": distribution(decision.system_emotion),
        "strategy": distribution(decision.strategy),
        "chosen": decision.chosen,
        "propensity": decision.propensity,
    }


def _escalation_json(escalation: pb.Escalation | None) -> dict[str, Any] | None:
    if escalation is None:
        return None
    raised = datetime.fromtimestamp(escalation.raised_at_us / 1e6, UTC)
    said = {
        "level": level_label(escalation.level),
        "raised_at": raised.isoformat(timespec="milliseconds"),
        "rules": list(escalation.rules),
    }
    if escalation.escalation_id:  # what `multimood escalations ack` names; older records have none
        said |= {"escalation_id": escalation.escalation_id, "notify": escalation.notify}
    return said
