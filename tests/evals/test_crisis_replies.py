"""No crisis message is answered by generation, whatever stands around it: 10,000 mixed messages.

What a message is, is known by how it was made (`crisis_messages`). The rules know its wordings, so this is no estimate
of how many crises of people are found (that is `multimood eval crisis`); it is that none is lost on the way from the
words to the reply.
"""

from collections import Counter

import pytest
from crisis_messages import Message, messages
from strategist_world import CRISIS, POLICY, features

from multimood.contracts.v1 import events_pb2 as pb
from multimood.perception.fusion import Perception, see
from multimood.safety import Screener, VettedReplies
from multimood.taxonomy import EMOTIONS, MESC_STRATEGIES
from services.responder.plan import Generate, Plan, Silence, plan_of
from services.sentinel.answer import Approved, Opinion, outputs_of
from services.strategist.decision import Kept, decide, override_of

SCREENER, APPROVED = Screener.load(), Approved(VettedReplies.load(), CRISIS)
_EVEN = dict.fromkeys(EMOTIONS, 1 / len(EMOTIONS))
PERCEPTION = Perception(
    emotion=_EVEN, by_modality={pb.MODALITY_TEXT: _EVEN}, intensity=0.5, stage="comforting", system_emotion=_EVEN,
    strategy=dict.fromkeys(MESC_STRATEGIES, 1 / len(MESC_STRATEGIES)), model_version="1",
)  # fmt: skip


def answered(message: Message, number: int) -> tuple[Plan, list[pb.Reply]]:
    """What the responder would do, and the replies that the sentinel has published before."""
    joined = features(f"u{number}", message.text)
    opinion = Opinion.of(SCREENER.screen(message.text, message.language))
    outputs = outputs_of(joined.context, opinion, APPROVED, None, pb.Hop(service="sentinel"), 0)
    published = [out.message for out in outputs]
    (screening,) = [one for one in published if isinstance(one, pb.Screening)]
    joined.screening.CopyFrom(screening)
    sight = see(joined)
    override = override_of(joined, sight)
    decision = decide(joined, sight, PERCEPTION, None, override=override, policy=POLICY, kept=Kept(6, 100))
    return plan_of(decision), [one for one in published if isinstance(one, pb.Reply)]


def check(count: int, seed: int) -> None:
    asked, flagged = Counter[str](), Counter[str]()
    for number, message in enumerate(messages(count, seed)):
        plan, replies = answered(message, number)
        asked[message.kind] += 1
        flagged[message.kind] += not isinstance(plan, Generate)
        if message.kind == "crisis":
            assert isinstance(plan, Silence), f"generated: {message.text!r}"
            assert [reply.source for reply in replies] == [pb.REPLY_SOURCE_VETTED_CRISIS]
        elif isinstance(plan, Generate):
            assert not replies, f"answered twice: {message.text!r}"
    assert all(asked[kind] > count / 20 for kind in ("crisis", "negated", "idiom", "quoted", "ordinary"))
    # Or everything could be taken for a crisis.
    alarms = {kind: flagged[kind] / asked[kind] for kind in asked if kind != "crisis"}
    assert alarms["ordinary"] == 0, alarms
    assert max(alarms.values()) <= 0.03, alarms


@pytest.mark.property
def test_a_sample_of_mixed_messages() -> None:
    check(500, seed=1)


@pytest.mark.evals
@pytest.mark.timeout(300)
def test_ten_thousand_mixed_messages() -> None:
    check(10_000, seed=0)
