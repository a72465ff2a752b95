"""What the fuzzer found: records that pass the envelope and lie in their fields. Each once ended a service or a row."""

import pyarrow as pa
import pytest
import reward_events as sample
import strategist_world as world

from multimood import topics
from multimood.bus import Event
from multimood.contracts.v1 import events_pb2 as pb
from multimood.experience.schema import SCHEMA
from multimood.experience.table import encode
from multimood.history import PastTurn, history
from multimood.labels import label
from multimood.perception.conversation import after_decision, after_reply, history_of
from services.joiner.features import joined_output, required
from services.sentinel.words import Wordless, words_of

pytestmark = pytest.mark.unit

UNKNOWN = 99
NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize("modality", [pb.MODALITY_UNSPECIFIED, UNKNOWN, -1, 2**31 - 1])
def test_nobody_waits_for_a_modality_that_has_no_encoder(modality: int) -> None:
    said = pb.Utterance(context=sample.context(), manifest=[pb.MODALITY_TEXT, modality], text="words")  # type: ignore[list-item]
    parts = {topics.UTTERANCE.name: Event(topics.UTTERANCE, said, "", b"", "", 0)}
    assert set(required(parts) or ()) == {
        topics.UTTERANCE.name, topics.SCREENING.name, topics.EMBEDDING_TEXT.name
    }  # fmt: skip
    features = pb.Features.FromString(joined_output(parts, pb.Hop()).message.SerializeToString())
    assert [one.modality for one in features.missing] == [pb.MODALITY_TEXT]
    assert list(features.manifest) == [pb.MODALITY_TEXT, modality], "what was announced is kept as it was"


def test_a_reason_that_nobody_knows_is_still_no_words() -> None:
    found = words_of(pb.Transcript(context=sample.context(), missing=UNKNOWN))  # type: ignore[arg-type]
    assert found == Wordless(pb.RISK_LEVEL_UNSCREENED, "no_words.unknown_99")
    assert label(pb.ReplySource, 3, "REPLY_SOURCE_") == "vetted_fallback"


def test_labels_nobody_knows_and_numbers_that_are_no_probability_are_no_history() -> None:
    odd = [("joy", NAN), ("fear", INFINITE), ("anger", -1.0), ("sadness", 1e39), ("bliss", 0.5), ("", 0.1)]
    emotion = [pb.Probability(label=name, p=p) for name, p in [*odd, ("neutral", 0.25)]]
    turns = [
        pb.Turn(role=pb.ROLE_USER, utterance_id="u", emotion=emotion, vector=b"odd"),
        pb.Turn(role=pb.ROLE_SYSTEM, utterance_id="u", label="hypnosis", emotion=emotion),
    ]
    expected = history([PastTurn(own=True, felt={"neutral": 0.25}), PastTurn(own=False)], 2)
    found = history_of(pb.Conversation(steps=2, turns=turns))
    assert all(one.tolist() == other.tolist() for one, other in zip(found, expected, strict=True))


def test_a_conversation_goes_on_at_the_end_of_all_numbers() -> None:
    state = pb.Conversation(context=world.context(), steps=2**32 - 1, revision=2**64 - 1)
    decision = sample.decision(world.context("u1"), step=2**32 - 1)
    decided = after_decision(state, decision, 12)
    assert decided is not None
    assert (decided.steps, decided.revision) == (2**32 - 1, 2**64 - 1)
    replied = after_reply(decided, world.reply("u1"), 12, 2_000)
    assert replied is not None
    assert replied.revision == 2**64 - 1


def test_a_row_holds_what_its_columns_can() -> None:
    said = sample.context()
    row = sample.row_of(sample.decision(said, step=2**32 - 1), sample.reply(said))
    assert row["step"] is None
    assert encode([row], SCHEMA)
    assert (
        pa.Table.from_pylist([sample.row_of(sample.decision(said, step=2**31 - 1))], schema=SCHEMA)["step"][0].as_py()
        > 0
    )


@pytest.mark.parametrize("values", [(INFINITE, -INFINITE), (1e308, 1e308), (NAN, 0.5), (-1.0, 2.5)])
def test_a_distribution_that_is_none_makes_a_row_unfit_and_no_error(values: tuple[float, float]) -> None:
    said = sample.context()
    strategy = [
        pb.Probability(label=name, p=p) for name, p in zip(("open question", "restatement"), values, strict=True)
    ]
    row = sample.row_of(sample.decision(said, strategy=strategy), sample.reply(said))
    assert (row["fit_for_ope"], row["unfit_reason"]) == (False, "no_propensity")
