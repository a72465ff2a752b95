"""From parts to features: what is waited for, what is said of what never came, and that order plays no part."""

from itertools import permutations
from typing import Any

import pytest
from bus_fakes import context
from google.protobuf.message import Message

from multimood import topics
from multimood.bus import Event, output
from multimood.bus.envelope import decode
from multimood.contracts.v1 import events_pb2 as pb
from multimood.topics import Topic, key_of
from services.joiner.agent import INPUTS
from services.joiner.features import joined_output, prefer, presence, required

pytestmark = pytest.mark.unit

TEXT, AUDIO, VIDEO = pb.MODALITY_TEXT, pb.MODALITY_AUDIO, pb.MODALITY_VIDEO


def part(topic: Topic, **fields: Any) -> Event[Any]:
    message = topic.message(context=context(), hops=[pb.Hop(service=topic.name)], **fields)
    return Event(topic, message, "", key_of(message.context), "", 0)  # type: ignore[attr-defined]


def embedding(modality: pb.Modality, topic: Topic, **fields: Any) -> Event[Any]:
    return part(topic, modality=modality, **(fields or {"vector": b"\0" * 8, "shape": [2]}))


def parts(*given: Event[Any]) -> dict[str, Event[Any]]:
    return {one.topic.name: one for one in given}


def features_of(*given: Event[Any]) -> pb.Features:
    """What a reader of the record sees."""
    out = joined_output(parts(*given), pb.Hop(service="joiner"))
    return pb.Features.FromString(out.message.SerializeToString())


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
    features = features_of(*SPOKEN)
    assert (features.context, list(features.manifest), features.text) == (context(), [VIDEO, AUDIO], "as heard")
    assert [one.modality for one in features.embeddings] == [TEXT, AUDIO]
    assert [(one.modality, one.reason) for one in features.missing] == [(VIDEO, pb.MISSING_REASON_NO_FACE)]
    assert features.screening.level == pb.RISK_LEVEL_LOW
    assert features.has_language
    told = [*features.hops, *features.screening.hops, *(hop for one in features.embeddings for hop in one.hops)]
    assert sorted(hop.service for hop in told) == sorted(["joiner", *(one.topic.name for one in SPOKEN)])


def test_a_part_that_was_put_away_goes_on_as_it_came_unknown_fields_too() -> None:
    newer = b"\xfa\x07\x03new"  # field 127
    said = embedding(TEXT, topics.EMBEDDING_TEXT).message.SerializeToString() + newer
    record = output(topics.EMBEDDING_TEXT, pb.Embedding(context=context()))
    event = decode(topics.EMBEDDING_TEXT, said, [], record.key, 0)
    event.put_away()
    (found,) = features_of(SPOKEN[0], event).embeddings
    assert (found.modality, found.SerializeToString()) == (TEXT, said)


@pytest.mark.parametrize("missing", [0, pb.MISSING_REASON_NO_FACE])
def test_what_was_put_away_still_says_whether_there_is_something(missing: pb.MissingReason) -> None:
    record = output(topics.EMBEDDING_TEXT, embedding(TEXT, topics.EMBEDDING_TEXT, missing=missing).message)
    event = decode(topics.EMBEDDING_TEXT, record.message.SerializeToString(), [], record.key, 0)
    event.put_away()
    assert event.missing == missing
    assert [one.reason for one in features_of(part(topics.UTTERANCE, manifest=[TEXT]), event).missing] == (
        [missing] if missing else []
    )


def test_what_is_written_has_the_fields_that_are_read() -> None:
    def layout(message: type[Message]) -> list[tuple[int, str, bool, bool]]:
        fields = message.DESCRIPTOR.fields
        return [(one.number, one.name, one.is_repeated, one.has_presence) for one in fields]

    assert layout(pb.FeaturesOfBytes) == layout(pb.Features)


def test_what_never_came_is_missing_by_deadline() -> None:
    features = features_of(SPOKEN[0])
    assert {(one.modality, one.reason) for one in features.missing} == {
        (modality, pb.MISSING_REASON_DEADLINE) for modality in (TEXT, AUDIO, VIDEO)
    }
    assert not features.HasField("screening")
    assert features.text == ""


def test_the_metrics_tell_which_modality_was_there_and_why_another_was_not() -> None:
    utterance = pb.Utterance(manifest=[pb.MODALITY_AUDIO, pb.MODALITY_VIDEO])
    missing = [pb.MissingModality(modality=pb.MODALITY_VIDEO, reason=pb.MISSING_REASON_NO_FACE)]
    assert list(presence(utterance, missing)) == [("text", "present"), ("audio", "present"), ("video", "no_face")]
    assert list(presence(pb.Utterance(manifest=[9]), [])) == [], "nobody waits for what this version does not know"


def test_written_words_count_before_heard_ones() -> None:
    written = part(topics.UTTERANCE, manifest=[TEXT, AUDIO], text="as written")
    assert features_of(written, SPOKEN[1]).text == "as written"


def test_pictures_alone_have_no_language() -> None:
    assert not features_of(part(topics.UTTERANCE, manifest=[VIDEO])).has_language


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
    assert part(topics.SCREENING).utterance == "t/c/u"
