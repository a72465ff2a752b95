"""From parts to features: what is waited for, what is said of what never came, and that order plays no part."""

from itertools import permutations
from typing import Any

import pytest
from bus_fakes import context

from multimood import topics
from multimood.bus import Event, output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.topics import Topic, key_of
from services.joiner.agent import INPUTS
from services.joiner.agent import key_of as name_of
from services.joiner.features import features_of, joined_output, prefer, required

pytestmark = pytest.mark.unit

TEXT, AUDIO, VIDEO = pb.MODALITY_TEXT, pb.MODALITY_AUDIO, pb.MODALITY_VIDEO


def part(topic: Topic, **fields: Any) -> Event[Any]:
    message = topic.message(context=context(), hops=[pb.Hop(service=topic.name)], **fields)
    return Event(topic, message, "", key_of(message.context), "", 0)  # type: ignore[attr-defined]


def embedding(modality: pb.Modality, topic: Topic, **fields: Any) -> Event[Any]:
    return part(topic, modality=modality, **(fields or {"vector": b"\0" * 8, "shape": [2]}))


def parts(*given: Event[Any]) -> dict[str, Event[Any]]:
    return {one.topic.name: one for one in given}


SPOKEN = (
    part(topics.UTTERANCE, manifest=[VIDEO, AUDIO]),
    part(topics.TRANSCRIPT, text="as heard"),
    part(topics.SCREENING, level=pb.RISK_LEVEL_LOW),
    embedding(TEXT, topics.EMBEDDING_TEXT),
    embedding(AUDIO, topics.EMBEDDING_AUDIO),
    embedding(VIDEO, topics.EMBEDDING_VIDEO, missing=pb.MISSING_REASON_NO_FACE),
)


@pytest.mark.parametrize(
    ("manifest", "wanted"),
    [
        ([TEXT], {topics.EMBEDDING_TEXT}),
        ([VIDEO], {topics.EMBEDDING_VIDEO}),
        ([TEXT, AUDIO], {topics.EMBEDDING_TEXT, topics.EMBEDDING_AUDIO}),
        ([AUDIO], {topics.EMBEDDING_TEXT, topics.EMBEDDING_AUDIO, topics.TRANSCRIPT}),
        ([], set()),
    ],
)
def test_what_was_announced_is_waited_for_and_always_the_verdict(
    manifest: list[pb.Modality], wanted: set[Topic]
) -> None:
    found = required(parts(part(topics.UTTERANCE, manifest=manifest)))
    assert found is not None
    assert set(found) == {topic.name for topic in wanted | {topics.UTTERANCE, topics.SCREENING}}
    assert set(found) <= {topic.name for topic in INPUTS}


def test_without_the_utterance_nobody_knows_what_to_wait_for() -> None:
    assert required(parts(*SPOKEN[1:])) is None


def test_everything_that_is_known_is_in_it() -> None:
    features = features_of(parts(*SPOKEN))
    assert (features.context, list(features.manifest), features.text) == (context(), [VIDEO, AUDIO], "as heard")
    assert [one.modality for one in features.embeddings] == [TEXT, AUDIO]
    assert [(one.modality, one.reason) for one in features.missing] == [(VIDEO, pb.MISSING_REASON_NO_FACE)]
    assert features.screening.level == pb.RISK_LEVEL_LOW
    assert features.has_language
    assert sorted(hop.service for hop in features.hops) == sorted(one.topic.name for one in SPOKEN)
    assert not any(one.hops for one in features.embeddings), "a hop is told once"


def test_what_never_came_is_missing_by_deadline() -> None:
    features = features_of(parts(SPOKEN[0]))
    assert {(one.modality, one.reason) for one in features.missing} == {
        (modality, pb.MISSING_REASON_DEADLINE) for modality in (TEXT, AUDIO, VIDEO)
    }
    assert not features.HasField("screening")
    assert features.text == ""


def test_written_words_count_before_heard_ones() -> None:
    written = part(topics.UTTERANCE, manifest=[TEXT, AUDIO], text="as written")
    assert features_of(parts(written, SPOKEN[1])).text == "as written"


def test_pictures_alone_have_no_language() -> None:
    assert not features_of(parts(part(topics.UTTERANCE, manifest=[VIDEO]))).has_language


def test_every_order_gives_the_same_record() -> None:
    found = {joined_output(parts(*order), pb.Hop(service="joiner")).message.SerializeToString(deterministic=True)
             for order in permutations(SPOKEN)}  # fmt: skip
    assert len(found) == 1


def test_the_record_has_the_utterances_id_whatever_is_in_it() -> None:
    whole = joined_output(parts(*SPOKEN), pb.Hop())
    assert whole.id == joined_output(parts(SPOKEN[0]), pb.Hop()).id
    assert whole.id == output(topics.FEATURES, pb.Features(context=context())).id


def test_a_vector_is_preferred_to_its_absence_and_else_the_first_stays() -> None:
    there = embedding(AUDIO, topics.EMBEDDING_AUDIO)
    absent = embedding(AUDIO, topics.EMBEDDING_AUDIO, missing=pb.MISSING_REASON_MODEL_UNAVAILABLE)
    assert prefer(there, absent)
    assert not prefer(absent, there)
    assert not prefer(there, there)
    assert not prefer(absent, absent)
    assert not prefer(SPOKEN[2], SPOKEN[2]), "a screening cannot be absent"


def test_an_utterance_is_named_by_tenant_conversation_and_itself() -> None:
    assert name_of(part(topics.SCREENING)) == "t/c/u"
