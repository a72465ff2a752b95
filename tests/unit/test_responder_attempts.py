"""What the guard refuses is written anew, of several candidates the best is sent, and the log tells all of it."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import ValidationError
from test_responder_core import KIND, TEXTS, Model, Wire, answer, decision, event

from multimood.bus import Bus
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnavailableError
from multimood.generation import Ask
from multimood.local.places import checkout
from multimood.settings import describe
from multimood.trust.case import TrustCase, Turn
from services.responder.__main__ import best_of
from services.responder.agent import Responder, nobody
from services.responder.attempts import another
from services.responder.served import Served
from services.responder.settings import ResponderSettings

pytestmark = pytest.mark.unit

HARM = ["You ", "should ", "kill ", "yourself ", "now ", "then."]
HARM_LATE = ["I ", "hear ", "you. ", *HARM]


def told(reply: pb.Reply) -> list[tuple[int, list[str], bool]]:
    return [(one.index, list(one.faults), one.sent) for one in reply.attempts]


async def test_a_refused_attempt_is_followed_by_another() -> None:
    wire, model = Wire(), Model(HARM, KIND)
    reply = await answer(wire, model, decision())
    assert reply is not None
    assert (reply.source, reply.text) == (pb.REPLY_SOURCE_GENERATED, "I hear you. What happened?")
    assert told(reply) == [(0, ["encourages_harm", "en.harm.encourage"], False), (1, [], True)]
    assert 0 < reply.attempts[0].completion_tokens <= len(HARM)
    assert reply.completion_tokens == reply.attempts[1].completion_tokens == 5
    assert not any(one.HasField("score") for one in reply.attempts)
    first, second = model.asks
    assert first.messages == second.messages
    assert first.seed != second.seed
    assert first.temperature < second.temperature


def texts(reply: pb.Reply) -> list[str]:
    return [one.text for one in reply.attempts]


async def test_what_was_not_sent_is_kept_for_who_allowed_learning() -> None:
    allowed = decision()
    allowed.context.privacy.learning_consent = True
    reply = await answer(Wire(), Model(HARM_LATE, KIND), allowed)
    assert reply is not None
    first, second = texts(reply)
    assert "".join(HARM_LATE).startswith(first), "as far as the guard let it be written"
    assert "kill yourself" in first
    assert second == "", "the reply has it"
    plain = await answer(Wire(), Model(HARM_LATE, KIND), decision())
    assert plain is not None
    assert texts(plain) == ["", ""], "without consent nothing is kept"
    refused = await answer(Wire(), Model(HARM), allowed)
    assert refused is not None
    assert refused.source == pb.REPLY_SOURCE_VETTED_FALLBACK
    assert all("kill yourself" in one for one in texts(refused))


async def test_the_candidates_that_were_not_chosen_are_kept() -> None:
    said = decision()
    said.context.privacy.learning_consent = True
    scores: dict[str, float | None] = {"Hm.": 0.2, "I hear you.": 0.9}
    reply, _, _ = await sent_of([["Hm."], ["I hear you."]], scores, said=said)
    assert (reply.text, texts(reply)) == ("I hear you.", ["Hm.", ""])


async def test_what_left_of_a_refused_attempt_is_followed_by_a_whole_reply() -> None:
    wire, model = Wire(), Model(HARM_LATE, KIND)
    reply = await answer(wire, model, decision())
    assert reply is not None
    assert reply.text == "I hear you. What happened?"
    assert wire.pieces, "something had left"
    assert len({piece.attempt for piece in wire.pieces}) == 1, "the second attempt is not told in pieces"
    assert "kill" not in "".join(piece.text for piece in wire.pieces)


async def test_before_anything_left_the_second_attempt_is_told_along() -> None:
    wire = Wire()
    reply = await answer(wire, Model(["User: ", "hello ", "there."], KIND), decision())
    assert reply is not None
    assert [one.faults[:1] for one in reply.attempts] == [["role_markers"], []]
    assert "".join(piece.text for piece in wire.pieces) == reply.text
    assert [piece.index for piece in wire.pieces] == list(range(len(wire.pieces)))


@pytest.mark.parametrize("most", [1, 2, 4])
async def test_after_so_many_refusals_the_reply_is_a_vetted_one(most: int) -> None:
    model = Model(HARM)
    reply = await answer(Wire(), model, decision(), attempts=most)
    assert reply is not None
    assert (reply.source, reply.reason) == (pb.REPLY_SOURCE_VETTED_FALLBACK, "encourages_harm")
    assert reply.text == TEXTS.replies.reply("unavailable").text
    assert len(model.asks) == len(reply.attempts) == most
    assert not any(one.sent for one in reply.attempts)


async def test_without_the_time_for_another_there_is_none() -> None:
    model = Model([0.3, *HARM])
    started = time.monotonic()
    reply = await answer(Wire(), model, decision(), whole_s=0.5, attempts=5)
    assert time.monotonic() - started < 1.5
    assert reply is not None
    assert reply.reason == "encourages_harm"
    assert len(model.asks) == 1


async def test_a_model_that_goes_after_a_refusal() -> None:
    reply = await answer(Wire(), Model(HARM, [UnavailableError("gone")]), decision(), first_token_s=0.2, whole_s=2.0)
    assert reply is not None
    assert reply.reason == "model_unavailable"
    assert [one.faults[0] for one in reply.attempts] == ["encourages_harm", "unavailable"]


async def test_a_vetted_reply_without_the_model_has_no_attempts() -> None:
    reply = await answer(Wire(), Model(), decision(override=pb.OVERRIDE_UNSCREENED))
    assert reply is not None
    assert not reply.attempts


async def sent_of(
    written: Sequence[Sequence[str]],
    scores: dict[str, float | None],
    *,
    said: pb.Decision | None = None,
    **settings: Any,
) -> tuple[pb.Reply, Wire, list[TrustCase]]:
    wire, cases = Wire(), []

    async def score(case: TrustCase) -> float | None:
        cases.append(case)
        return scores[case.reply]

    own = ResponderSettings(candidates=len(written), **settings)
    made = Responder(Bus(wire.emit, wire.dead_letter), Served(Model(*written)), TEXTS, own, score)
    outputs = await made.handle(event(said or decision()))
    await wire.emit(outputs, "")
    (reply,) = wire.replies
    return reply, wire, cases


async def test_the_best_of_several_is_sent_as_a_whole() -> None:
    written = [["Hm."], ["I hear you."], HARM, ["Oh dear."]]
    scores: dict[str, float | None] = {"Hm.": 0.2, "I hear you.": 0.9, "Oh dear.": 0.4}
    reply, wire, cases = await sent_of(written[:4], scores)
    assert reply.text == "I hear you."
    assert [piece.text for piece in wire.pieces] == ["I hear you."]
    assert [(round(one.score, 1) if one.HasField("score") else None, one.sent) for one in reply.attempts] == [
        (0.2, False), (0.9, True), (None, False), (0.4, False), (0.4, False),
    ]  # fmt: skip
    assert [turn.role for turn in cases[0].dialogue] == ["user", "system", "user"]
    assert cases[0].user_emotion == "sadness"


async def test_judges_that_take_too_long_do_not_keep_a_reply() -> None:
    wire = Wire()

    async def score(case: TrustCase) -> float | None:
        if case.reply == "Hm.":
            return 0.3
        await asyncio.sleep(30)
        return 1.0

    own = ResponderSettings(candidates=2, whole_s=0.5)
    made = Responder(Bus(wire.emit, wire.dead_letter), Served(Model(["Hm."], ["I hear you."])), TEXTS, own, score)
    started = time.monotonic()
    (*_, reply) = await made.handle(event(decision()))
    assert time.monotonic() - started < 5
    assert reply.message.text == "Hm."


async def test_without_a_judge_the_first_candidate_is_sent() -> None:
    reply, _, _ = await sent_of([["Hm."], ["I hear you."]], {"Hm.": None, "I hear you.": None})
    assert reply.text == "Hm."
    assert not any(one.HasField("score") for one in reply.attempts)


async def test_a_model_that_goes_after_a_candidate_leaves_that() -> None:
    reply, _, _ = await sent_of([["Hm."], [UnavailableError("gone")]], {}, first_token_s=0.2, whole_s=5.0)
    assert reply.text == "Hm."
    assert told(reply) == [(0, [], True), (1, ["unavailable"], False)]


def test_a_further_attempt_is_asked_for_in_bounds() -> None:
    ask = Ask((), 10, 1.9, (1 << 31) - 1, 30.0)
    assert another(ask, 0, 5.0) == ask
    third = another(ask, 2, 5.0)
    assert (third.temperature, third.within_s) == (2.0, 5.0)
    assert 0 <= third.seed < 1 << 31


@pytest.mark.parametrize("name", ["MULTIMOOD_RESPONDER_ATTEMPTS", "MULTIMOOD_ATTEMPTS"])
def test_the_bound_is_an_environment_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "5")
    assert ResponderSettings().attempts == 5
    assert ResponderSettings(attempts=3).attempts == 3
    assert "MULTIMOOD_RESPONDER_ATTEMPTS  (default 2)" in describe((ResponderSettings,))


@pytest.mark.slow
async def test_without_triton_the_rules_alone_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = checkout() / ".tools" / "text_encoder" / "tokenizer.json"
    if not tokenizer.is_file():
        pytest.skip(f"no {tokenizer}: run `make setup`")
    monkeypatch.setenv("MULTIMOOD_TRITON_URL", "127.0.0.1:1")
    monkeypatch.setenv("MULTIMOOD_TRITON_DEADLINE_S", "2")
    score, close = best_of(ResponderSettings(candidates=2, tokenizer=tokenizer), TEXTS.rules)
    said = (Turn("user", "I failed"),)
    sound = await score(TrustCase(said, "I hear you."))
    doubtful = await score(TrustCase(said, "Studies show that it passes."))
    assert sound == 1.0
    assert doubtful is not None
    assert doubtful < sound
    for one in close:
        await one()
    assert best_of(ResponderSettings(), TEXTS.rules) == (nobody, ())


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"candidates": 0}, {"attempts": 99}])
def test_settings_that_cannot_work(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        ResponderSettings(**wrong)  # type: ignore[arg-type]
