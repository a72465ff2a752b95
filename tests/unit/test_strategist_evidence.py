"""Voice and face as evidence, in the strategist: escalated once, before the decision, whatever dies in between."""

import numpy as np
import pytest
from strategist_world import CRISIS, Fusion, Life, Log, features

from multimood import topics
from multimood.bus.envelope import output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnavailableError
from multimood.perception.fusion import MODALITIES
from multimood.taxonomy import EMOTIONS

pytestmark = pytest.mark.unit

TEXT, AUDIO, VIDEO = MODALITIES
LOW = pb.RISK_LEVEL_LOW


def fusion(distressed: pb.Modality = AUDIO, intensity: float = 1.0) -> Fusion:
    """Hears or sees strong distress in one modality, and calm in the others."""
    made = Fusion()
    each = np.zeros((1, len(MODALITIES), len(EMOTIONS)), np.float32)
    each[0, :, EMOTIONS.index("neutral")] = 1
    each[0, MODALITIES.index(distressed)] = np.eye(len(EMOTIONS))[EMOTIONS.index("sadness")]
    made.change = {"modality_emotion": each, "intensity": np.full((1, 1), intensity, np.float32)}
    return made


def heard(level: pb.RiskLevel = LOW, *modalities: pb.Modality) -> pb.Features:
    made = features("u0", "words", *(modalities or (TEXT, AUDIO)), level=level)
    made.screening.rules.append("en.hopeless")
    return made


@pytest.mark.parametrize(("modality", "rule"), [(AUDIO, "evidence.voice"), (VIDEO, "evidence.face")])
async def test_a_human_is_told_before_it_is_decided(modality: pb.Modality, rule: str) -> None:
    log = Log()
    assert await Life(log, fusion(modality)).take(heard(LOW, TEXT, modality))
    assert [topic for topic, _, _ in log.records] == [topics.ESCALATION, topics.DECISION, topics.CONVERSATION]
    (escalation,), (decision,) = log.of(topics.ESCALATION), log.of(topics.DECISION)
    assert escalation.level == pb.RISK_LEVEL_ELEVATED
    assert list(escalation.rules) == ["en.hopeless", rule]
    assert (escalation.notice, escalation.notify) == (0, "on_call")
    assert escalation.policy_version == CRISIS.version
    assert escalation.escalation_id == output(topics.ESCALATION, escalation).id
    assert decision.override == pb.OVERRIDE_EVIDENCE
    assert not decision.chosen
    assert decision.modality_emotions, "what it was decided by is in the decision"


@pytest.mark.parametrize(
    ("level", "override"),
    [
        (pb.RISK_LEVEL_NONE, pb.OVERRIDE_NONE),
        (pb.RISK_LEVEL_UNSCREENED, pb.OVERRIDE_UNSCREENED),
        (pb.RISK_LEVEL_ELEVATED, pb.OVERRIDE_CRISIS),
    ],
)
async def test_it_is_never_the_sole_ground(level: pb.RiskLevel, override: pb.Override) -> None:
    log = Log()
    assert await Life(log, fusion()).take(heard(level))
    assert log.of(topics.DECISION)[0].override == override
    assert not log.of(topics.ESCALATION)


async def test_a_risk_that_the_words_do_not_have_is_no_ground() -> None:
    log, advised = Log(), heard(LOW)
    advised.screening.rules[:] = ["person:low"]
    assert await Life(log, fusion()).take(advised)
    assert log.of(topics.DECISION)[0].override == pb.OVERRIDE_NONE
    assert not log.of(topics.ESCALATION)


async def test_a_modality_that_is_not_there_is_no_evidence() -> None:
    log = Log()
    assert await Life(log, fusion(VIDEO)).take(heard(LOW, TEXT, AUDIO))
    assert await Life(log, fusion(intensity=0.1)).take(heard(LOW, TEXT, AUDIO))
    assert not log.of(topics.ESCALATION)


async def test_while_an_escalation_is_open_there_is_no_second() -> None:
    log, held = Log(), heard()
    held.screening.held = True
    assert await Life(log, fusion()).take(held)
    assert log.of(topics.DECISION)[0].override == pb.OVERRIDE_ESCALATED
    assert not log.of(topics.ESCALATION)


@pytest.mark.parametrize("dies_before", [0, 1, 2])
@pytest.mark.parametrize("second", ["the same", "calm", "away"])
async def test_killed_at_any_instant_it_is_escalated_once_and_decided_so(dies_before: int, second: str) -> None:
    """Although the second time the model may say something else, or nothing."""
    log, other = Log(), fusion()
    await Life(log, fusion(), dies_before=dies_before).take(heard())
    if dies_before and second == "calm":
        other = fusion(intensity=0.0)
    elif dies_before and second == "away":
        other.failure = UnavailableError("gone")
    assert await Life(log, other).take(heard())
    assert await Life(log, other).take(heard())
    assert len(log.of(topics.ESCALATION)) == 1
    assert [one.override for one in log.of(topics.DECISION)] == [pb.OVERRIDE_EVIDENCE]
    assert [state.steps for state in log.of(topics.CONVERSATION)] == [1]


async def test_an_escalation_of_the_sentinel_is_none_of_evidence() -> None:
    log = Log()
    crisis = output(
        topics.ESCALATION, pb.Escalation(context=heard().context, level=pb.RISK_LEVEL_IMMINENT, rules=["r"])
    )
    life = Life(log, Fusion())
    life.strategist.published(crisis)
    assert await life.take(heard(pb.RISK_LEVEL_NONE))
    assert log.of(topics.DECISION)[0].override == pb.OVERRIDE_NONE
