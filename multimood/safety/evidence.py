"""Voice and face as evidence of a crisis: they raise words of low risk to elevated, and never words of none. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from multimood.contracts.v1 import events_pb2 as pb
from multimood.safety.crisis_policy import EvidenceEntry

GROUNDS: Final[Mapping[pb.Modality, str]] = {pb.MODALITY_AUDIO: "evidence.voice", pb.MODALITY_VIDEO: "evidence.face"}
"""What may be evidence, and how an escalation names it among its rules."""


def grounds(
    level: pb.RiskLevel,
    by_modality: Mapping[pb.Modality, Mapping[str, float]],
    intensity: float,
    limits: EvidenceEntry,
) -> Sequence[str]:
    """Why words of this risk count as elevated; empty: they do not.

    `by_modality`: each modality's distribution over emotions, by itself; `intensity`: 0..1, of all together. A tone or
    an expression is never the sole ground: a model of emotions is wrong far too often for that, and people who speak
    sadly of sad things would not be spoken with any more.
    """
    if level != pb.RISK_LEVEL_LOW or not intensity >= limits.intensity:
        return ()
    return [
        name
        for modality, name in GROUNDS.items()
        if modality in by_modality and _distress(by_modality[modality], limits) >= limits.share
    ]


def is_evidence(rules: Iterable[str]) -> bool:
    """Whether an escalation with these rules was raised by voice or face."""
    return any(rule in GROUNDS.values() for rule in rules)


def _distress(emotion: Mapping[str, float], limits: EvidenceEntry) -> float:
    return sum(p for label, p in emotion.items() if label in limits.labels)
