"""Voice and face as evidence: they raise words of low risk, and are never the sole ground."""

import pytest

from multimood.contracts.v1 import events_pb2 as pb
from multimood.safety import CrisisPolicy
from multimood.safety.evidence import grounds, is_evidence

pytestmark = pytest.mark.unit

LIMITS = CrisisPolicy.load().evidence
TEXT, AUDIO, VIDEO = pb.MODALITY_TEXT, pb.MODALITY_AUDIO, pb.MODALITY_VIDEO
CALM = {"neutral": 0.9, "sadness": 0.1}
DISTRESS = {"sadness": 0.5, "fear": 0.25, "depression": 0.15, "neutral": 0.1}
ANGER = {"anger": 1.0}


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        ({AUDIO: DISTRESS}, ["evidence.voice"]),
        ({VIDEO: DISTRESS}, ["evidence.face"]),
        ({AUDIO: DISTRESS, VIDEO: DISTRESS}, ["evidence.voice", "evidence.face"]),
        ({AUDIO: DISTRESS, VIDEO: CALM}, ["evidence.voice"]),
        ({AUDIO: CALM, VIDEO: CALM}, []),
        ({TEXT: DISTRESS}, []),
        ({AUDIO: ANGER}, []),
        ({}, []),
    ],
)
def test_strong_distress_in_voice_or_face_raises_words_of_low_risk(
    seen: dict[pb.Modality, dict[str, float]], found: list[str]
) -> None:
    assert list(grounds(pb.RISK_LEVEL_LOW, seen, 1.0, LIMITS)) == found
    assert is_evidence(found) == bool(found)


@pytest.mark.parametrize("level", [level for level in pb.RiskLevel.values() if level != pb.RISK_LEVEL_LOW])
def test_it_is_never_the_sole_ground_and_adds_nothing_to_a_crisis(level: pb.RiskLevel) -> None:
    assert not grounds(level, {AUDIO: DISTRESS, VIDEO: DISTRESS}, 1.0, LIMITS)


@pytest.mark.parametrize("intensity", [0.0, LIMITS.intensity - 0.01, float("nan")])
def test_what_is_felt_weakly_is_no_evidence(intensity: float) -> None:
    assert not grounds(pb.RISK_LEVEL_LOW, {AUDIO: DISTRESS}, intensity, LIMITS)


def test_the_limits_themselves_are_enough() -> None:
    just = {"sadness": LIMITS.share, "joy": 1 - LIMITS.share}
    assert grounds(pb.RISK_LEVEL_LOW, {AUDIO: just}, LIMITS.intensity, LIMITS)
    below = {"sadness": LIMITS.share - 0.01, "joy": 1.01 - LIMITS.share}
    assert not grounds(pb.RISK_LEVEL_LOW, {AUDIO: below}, LIMITS.intensity, LIMITS)
