"""Simulated seekers as a platform: what they do when the system answers, gives a vetted text, or does not answer."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from multimood.client import TurnInput
from multimood.contracts.v1 import events_pb2 as pb
from multimood.contracts.v1 import gateway_pb2 as gw
from multimood.errors import UnavailableError
from multimood.ope import FORCED
from multimood.simulator.platform import Failed, Plan, Told, talk

pytestmark = pytest.mark.unit


@dataclass
class Gateway:
    """Answers every turn in one way; the real one is in tests/e2e/test_simulate.py."""

    chosen: str = "approval"
    source: pb.ReplySource = pb.REPLY_SOURCE_GENERATED
    answer: str = "reply"
    turns: list[TurnInput] = field(default_factory=list)
    feedback: list[tuple[str, float, float, str]] = field(default_factory=list)

    async def converse(
        self, turn: TurnInput, *, wait_for_trust: bool = False, timeout_s: float = 120.0
    ) -> AsyncIterator[gw.ConverseResponse]:
        self.turns.append(turn)
        if self.answer == "down":
            raise UnavailableError("nobody there")
        yield gw.ConverseResponse(decision=pb.Decision(chosen=self.chosen))
        if self.answer == "reply":
            yield gw.ConverseResponse(reply=pb.Reply(source=self.source))
        elif self.answer == "rejected":
            yield gw.ConverseResponse(rejected=gw.Rejected(stage="joiner", reason="poison"))

    async def send_feedback(
        self, conversation_id: str, utterance_id: str, *, rating: float, intensity: float, source: str
    ) -> None:
        assert utterance_id.startswith(conversation_id)
        self.feedback.append((utterance_id, rating, intensity, source))


async def held(gateway: Gateway, conversations: int = 6, turns: int = 4) -> list[Told | Failed]:
    return [one async for one in talk(gateway, Plan("s", conversations, turns, at_once=2, seed=3))]


async def test_feedback_is_the_truth_of_the_turn() -> None:
    gateway = Gateway()
    found = await held(gateway)
    told = [one for one in found if isinstance(one, Told)]
    assert len(told) == len(found) == len(gateway.feedback) == len(gateway.turns)
    given = {utterance: rating for utterance, rating, *_ in gateway.feedback}
    assert {one.utterance_id: one.reward for one in told} == given
    assert {source for *_, source in gateway.feedback} == {"simulator"}
    assert all(turn.learning_consent and turn.text for turn in gateway.turns)
    assert {one.strategy for one in told} == {"approval"}
    assert sum(one.step == 0 for one in told) == 6


async def test_a_simulation_is_repeatable() -> None:
    one, other = await held(Gateway()), await held(Gateway())
    key = lambda told: (told.conversation_id, told.step)  # noqa: E731
    assert sorted(one, key=key) == sorted(other, key=key)


async def test_a_vetted_reply_is_no_strategy() -> None:
    found = await held(Gateway(source=pb.REPLY_SOURCE_VETTED_FALLBACK), 2, 2)
    assert {one.strategy for one in found if isinstance(one, Told)} == {FORCED}


@pytest.mark.parametrize(
    ("answer", "reason"), [("down", "unavailable"), ("rejected", "unanswered"), ("none", "unanswered")]
)
async def test_a_system_that_does_not_answer_ends_the_conversation(answer: str, reason: str) -> None:
    gateway = Gateway(answer=answer)
    found = await held(gateway, 3)
    assert [(type(one), one.step) for one in found] == [(Failed, 0)] * 3
    assert {one.reason for one in found if isinstance(one, Failed)} == {reason}
    assert gateway.feedback == []
