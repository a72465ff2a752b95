"""The strategist on a bus that can break at any record: what is published, in which order, and what a crash leaves."""

import asyncio
import hashlib
import time
from pathlib import Path

import numpy as np
import pytest
from strategist_world import POLICY, Fusion, Life, Log, Spoken, context, features, record_of, reply, vector_of

from multimood import topics
from multimood.bus.envelope import output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnavailableError
from multimood.history import DONE, FELT
from multimood.inference import InferenceError
from multimood.local.places import checkout
from multimood.taxonomy import MESC_STRATEGIES
from services.strategist.__main__ import policy_of
from services.strategist.settings import StrategistSettings

pytestmark = pytest.mark.unit

CANARY = "zq-canary"
OURS = (topics.DECISION, topics.CONVERSATION)


def settled(made: pb.Decision) -> pb.Decision:
    """A decision without its timings."""
    bare = pb.Decision()
    bare.CopyFrom(made)
    del bare.hops[:]
    return bare


async def test_decision_then_state() -> None:
    log, fusion = Log(), Fusion()
    life = Life(log, fusion)
    assert await life.take(features("u0"))
    assert [topic for topic, _, _ in log.records] == [topics.DECISION, topics.CONVERSATION]
    (decision,), (state,) = log.of(topics.DECISION), log.of(topics.CONVERSATION)
    assert decision.chosen
    assert decision.hops[-1].service == "strategist"
    assert decision.policy_version == POLICY.version("3")
    assert state.steps == 1
    assert state.turns[0].emotion == decision.user_emotion
    assert state.turns[0].text == decision.dialogue[-1].text


async def test_the_model_is_told_of_the_turn_before() -> None:
    log, fusion, spoken = Log(), Fusion(), Spoken()
    life = Life(log, fusion, spoken=spoken)
    await life.take(features("u0"))
    await life.take(reply("u0"))
    await life.take(features("u1"))
    first, second = fusion.asked
    decision = log.of(topics.DECISION)[0]
    assert not any(first[name].any() for name in ("past", "marks", "step"))
    assert spoken.asked == ["an answer"], "the person's words were embedded already"
    assert second["past"][0, -1] == pytest.approx(vector_of("an answer"), abs=1e-3)
    assert second["past"][0, -2] == pytest.approx(np.full(384, 0.1), abs=1e-4)
    felt, done = second["marks"][0, -2], second["marks"][0, -1]
    assert felt[FELT] == pytest.approx([item.p for item in decision.user_emotion], abs=1e-6)
    assert done[DONE][MESC_STRATEGIES.index("restatement")] == 1
    assert second["step"].tolist() == [[np.float32(0.05)]]
    assert [turn.role for turn in log.of(topics.DECISION)[1].dialogue] == [pb.ROLE_USER, pb.ROLE_SYSTEM, pb.ROLE_USER]


async def test_a_reply_whose_words_cannot_be_embedded_is_remembered_all_the_same() -> None:
    log, fusion, spoken = Log(), Fusion(), Spoken()
    spoken.is_silent = True
    life = Life(log, fusion, spoken=spoken)
    for message in (features("u0"), reply("u0"), features("u1")):
        await life.take(message)
    told = fusion.asked[-1]
    assert not told["past"][0, -1].any()
    assert told["marks"][0, -1, 1] == 1


async def test_duplicates_change_nothing() -> None:
    log = Log()
    life = Life(log, Fusion())
    for message in (features("u0"), reply("u0"), features("u1")):
        await life.take(message)
    before = len(log.records)
    for message in (features("u0"), reply("u0"), features("u1"), reply("u0")):
        assert await life.take(message)
    assert len(log.records) == before


async def test_an_erased_conversation_is_forgotten_and_goes_on() -> None:
    log, fusion = Log(), Fusion()
    life = Life(log, fusion)
    for message in (features("u0"), reply("u0"), features("u1"), reply("u1")):
        await life.take(message)
    erased = pb.Erasure(context=context("erasure-1"), erased_at_us=1)
    assert await life.take(erased)
    state = log.of(topics.CONVERSATION)[-1]
    assert (list(state.turns), state.steps) == ([], 2)
    assert state.revision > log.of(topics.CONVERSATION)[-2].revision
    before = len(log.records)
    assert await life.take(erased), "said again it changes nothing"
    assert len(log.records) == before
    again = Life(log, fusion)  # a new life, which meets the old decisions once more
    for message in (features("u0"), reply("u1"), features("u2")):
        await again.take(message)
    newest = log.of(topics.DECISION)[-1]
    assert [turn.utterance_id for turn in newest.dialogue] == ["u2"]
    assert newest.step == 2
    assert not fusion.asked[-1]["past"].any()


async def test_a_conversation_that_is_not_known_is_erased_all_the_same() -> None:
    log = Log()
    assert await Life(log, Fusion()).take(pb.Erasure(context=context("erasure-1"), erased_at_us=5))
    (state,) = log.of(topics.CONVERSATION)
    assert (list(state.turns), state.revision) == ([], 5)


@pytest.mark.parametrize("dies_before", [0, 1])
async def test_a_crash_between_any_two_records(dies_before: int) -> None:
    undisturbed, log = Log(), Log()
    messages = [features("u0"), reply("u0"), features("u1"), features("u2")]
    calm = Life(undisturbed, Fusion())
    for message in messages:
        await calm.take(message)
    first = Life(log, Fusion())
    for message in messages[:2]:
        await first.take(message)
    dying = Life(log, Fusion(), dies_before=dies_before)
    assert not await dying.take(messages[2])
    after = Life(log, Fusion())
    for message in messages[2:]:
        assert await after.take(message)
    assert [settled(one) for one in log.of(topics.DECISION)] == [
        settled(one) for one in undisturbed.of(topics.DECISION)
    ]
    states = [log.of(topics.CONVERSATION)[-1], undisturbed.of(topics.CONVERSATION)[-1]]
    for state in states:
        state.revision = 0
    assert states[0] == states[1]


async def test_a_state_that_a_crash_kept_back_is_published_when_the_record_comes_again() -> None:
    log = Log()
    await Life(log, Fusion(), dies_before=1).take(features("u0"))
    assert not log.of(topics.CONVERSATION)
    again, fusion = Fusion(), Fusion()
    assert await Life(log, again).take(features("u0"))
    assert not again.asked, "what was decided is not asked again"
    assert [state.steps for state in log.of(topics.CONVERSATION)] == [1]
    assert await Life(log, fusion).take(features("u0"))
    assert len(log.records) == 2, "the third time there is nothing left to say"


async def test_a_record_that_could_not_be_sent_is_decided_again_from_the_same_state() -> None:
    log, fusion = Log(), Fusion()
    life = Life(log, fusion)
    await life.take(features("u0"))
    broken = Life(log, fusion, dies_before=0)
    await broken.take(features("u1"))
    assert await Life(log, fusion).take(features("u1"))
    assert all(np.array_equal(fusion.asked[1][name], fusion.asked[2][name]) for name in ("past", "marks", "step"))
    assert [one.step for one in log.of(topics.DECISION)] == [0, 1]


@pytest.mark.parametrize("fails_before", [0, 1])
async def test_what_could_not_be_sent_is_not_taken_for_sent(fails_before: int) -> None:
    log = Log()
    life = Life(log, Fusion(), StrategistSettings(retry_budget_s=1.0))
    life.fails_before = {fails_before}
    assert await life.take(features("u0"))
    assert [topic for topic, _, _ in log.records] == [topics.DECISION, topics.CONVERSATION]
    assert log.of(topics.DECISION)[0].override == pb.OVERRIDE_NONE
    assert log.of(topics.CONVERSATION)[0].steps == 1


async def test_a_recovered_old_decision_does_not_come_in_at_the_end() -> None:
    log = Log()
    settings = StrategistSettings(turns=2)
    life = Life(log, Fusion(), settings)
    for number in range(6):
        await life.take(features(f"u{number}"))
    log.compact()
    later = Life(log, Fusion(), settings)
    assert await later.take(features("u6"))
    decision = log.of(topics.DECISION)[-1]
    assert decision.step == 6
    assert [turn.utterance_id for turn in decision.dialogue] == ["u5", "u6"]


async def test_a_late_reply_to_a_turn_that_is_no_longer_remembered_is_left_out() -> None:
    log = Log()
    life = Life(log, Fusion(), StrategistSettings(turns=2))
    for number in range(4):
        await life.take(features(f"u{number}"))
    before = len(log.records)
    assert await life.take(reply("u0"))
    assert len(log.records) == before


async def test_a_forgotten_conversation_begins_anew_and_its_new_state_counts_after_a_restart() -> None:
    log = Log()
    life = Life(log, Fusion(), StrategistSettings(memory_mib=1))
    life.strategist._memory._budget = 1_500
    await life.take(features("u0"))
    await life.take(features("u1"))
    await life.take(features("v0", "x" * 1_000, conversation="other"))
    await life.take(features("u2"))
    assert [(one.context.utterance_id, one.step) for one in log.of(topics.DECISION)] == [
        ("u0", 0), ("u1", 1), ("v0", 0), ("u2", 0),
    ]  # fmt: skip
    later = Life(log, Fusion())
    await later.take(features("u3"))
    assert [turn.utterance_id for turn in log.of(topics.DECISION)[-1].dialogue] == ["u2", "u3"]


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (UnavailableError("gone"), pb.OVERRIDE_MODEL_UNAVAILABLE),
        (InferenceError("refused"), pb.OVERRIDE_MODEL_UNAVAILABLE),
    ],
)
async def test_without_a_model_there_is_a_decision_all_the_same(failure: Exception, expected: pb.Override) -> None:
    log, fusion = Log(), Fusion()
    fusion.failure = failure
    life = Life(log, fusion)
    assert await life.take(features("u0"))
    assert not life.letters
    (decision,) = log.of(topics.DECISION)
    assert (decision.override, decision.chosen, decision.step) == (expected, "", 0)
    fusion.failure = None
    await life.take(features("u1"))
    assert log.of(topics.DECISION)[1].step == 1
    told = fusion.asked[-1]["marks"][0]
    assert not told[:, 2:].any()
    assert told[-1, 0] == 1, "there was a turn, of which no feeling is known"


async def test_an_answer_that_is_none_is_as_good_as_no_model() -> None:
    log, fusion = Log(), Fusion()
    fusion.change = {"emotion": np.full((1, 8), np.nan, np.float32)}
    await Life(log, fusion).take(features("u0"))
    assert log.of(topics.DECISION)[0].override == pb.OVERRIDE_MODEL_UNAVAILABLE


@pytest.mark.parametrize(
    ("level", "override"),
    [(pb.RISK_LEVEL_IMMINENT, pb.OVERRIDE_CRISIS), (pb.RISK_LEVEL_UNSCREENED, pb.OVERRIDE_UNSCREENED)],
)
async def test_a_vetted_reply_waits_for_no_model(level: pb.RiskLevel, override: pb.Override) -> None:
    for failure, delay_s in ((UnavailableError("gone"), 0.0), (InferenceError("no"), 0.0), (None, 30.0)):
        log, fusion = Log(), Fusion()
        fusion.failure, fusion.delay_s = failure, delay_s
        began = time.monotonic()
        assert await Life(log, fusion).take(features("u0", level=level))
        assert time.monotonic() - began < 0.5
        (decision,) = log.of(topics.DECISION)
        assert (decision.override, len(decision.user_emotion)) == (override, 0)
    log = Log()
    await Life(log, Fusion()).take(features("u0", level=level))
    assert len(log.of(topics.DECISION)[0].user_emotion) == 8, "a model that answers at once is heard"


async def test_nothing_to_go_by_asks_no_model() -> None:
    log, fusion = Log(), Fusion()
    empty = features("u0", "")
    del empty.embeddings[:]
    await Life(log, fusion).take(empty)
    assert log.of(topics.DECISION)[0].override == pb.OVERRIDE_NO_INPUT
    assert not fusion.asked


async def test_words_without_their_vector_are_still_words() -> None:
    log, fusion = Log(), Fusion()
    bare = features("u0", "words")
    del bare.embeddings[:]
    await Life(log, fusion).take(bare)
    (decision,) = log.of(topics.DECISION)
    assert decision.override == pb.OVERRIDE_NONE
    assert decision.propensity > 0
    assert not fusion.asked[0]["present"].any()


async def test_conversations_do_not_wait_for_each_other() -> None:
    log, fusion = Log(), Fusion()
    fusion.delay_s = 0.05
    life = Life(log, fusion)
    began = time.monotonic()
    await asyncio.gather(*(life.take(features(f"u{number}", conversation=f"c{number}")) for number in range(20)))
    assert time.monotonic() - began < 0.5
    assert len(log.of(topics.DECISION)) == 20


async def test_records_stay_below_a_record_s_limit_with_the_largest_settings() -> None:
    log = Log()
    life = Life(log, Fusion(), StrategistSettings(turns=48, turn_chars=4_000))
    tears = "\U0001f622" * 20_000
    for number in range(30):
        await life.take(features(f"u{number}", tears))
        await life.take(reply(f"u{number}", tears))
    for number in range(100, 120):
        await life.take(reply(f"u{number}", tears))
    sizes = {topic: max(len(record.value) for at, _, record in log.records if at is topic) for topic in OURS}
    assert sizes[topics.CONVERSATION] > 850_000, "as large as they get"
    assert max(sizes.values()) < 0.9 * topics.DECISION.max_message_bytes


async def test_no_word_that_was_said_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    log, fusion = Log(), Fusion()
    life = Life(log, fusion)
    odd = features("u0", CANARY)
    odd.embeddings[0].shape[0] = 7
    await life.take(odd)
    fusion.failure = InferenceError("refused")
    await life.take(features("u1", CANARY))
    assert len(caplog.records) >= 2
    assert all(CANARY not in str(vars(record)) for record in caplog.records)


def test_the_policy_names_the_model_s_graph(tmp_path: Path) -> None:
    committed = hashlib.sha256((checkout() / StrategistSettings().model_file).read_bytes()).hexdigest()
    nowhere, other = tmp_path / "nowhere.onnx", tmp_path / "other.onnx"
    other.write_bytes(b"another graph")
    assert policy_of(StrategistSettings(model_file=nowhere)).model_sha256 == committed, "shipped: train it anew"
    assert policy_of(StrategistSettings(model_file=other)).model_sha256 == hashlib.sha256(b"another graph").hexdigest()
    assert policy_of(StrategistSettings(model_file=other, model_sha256="c" * 64)).model_sha256 == "c" * 64


def test_a_state_record_s_id_changes_with_the_state() -> None:
    one, other = (output(topics.CONVERSATION, pb.Conversation(), str(revision)) for revision in (1, 2))
    assert one.id != other.id
    assert record_of(one).value == record_of(other).value
