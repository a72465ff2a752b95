"""The one place that names topics: what every service takes for granted about them."""

import pytest

from multimood import topics
from multimood.access import READERS
from multimood.bus.admin import wanted
from multimood.contracts.v1 import events_pb2 as pb
from multimood.settings import KafkaSettings
from multimood.topics import BY_NAME, EMBEDDINGS, TOPICS, key_of
from services.joiner import agent as joiner
from services.responder import agent as responder
from services.reward import agent as reward
from services.sentinel import agent as sentinel
from services.strategist import agent as strategist
from services.text_encoder import encoder as text_encoder

pytestmark = pytest.mark.unit


def test_names_are_unique_versioned_and_lead_back() -> None:
    names = [topic.name for topic in TOPICS]
    assert len(set(names)) == len(names)
    assert all(name.startswith("multimood.") and name.endswith(".v1") for name in names)
    assert all(BY_NAME[topic.name] is topic for topic in TOPICS)
    assert not {topic.dead_letters for topic in TOPICS} & set(names)
    assert {topic for name, topic in vars(topics).items() if isinstance(topic, topics.Topic)} == set(TOPICS)


def test_every_message_says_whose_and_where() -> None:
    for topic in TOPICS:
        field = topic.message.DESCRIPTOR.fields_by_name["context"]
        assert field.message_type is pb.Context.DESCRIPTOR


def test_each_topic_has_a_message_of_its_own_but_the_modalities() -> None:
    messages = [topic.message for topic in TOPICS if topic not in EMBEDDINGS]
    assert len(set(messages)) == len(messages)
    assert {topic.message for topic in EMBEDDINGS} == {pb.Embedding}


def test_tenants_never_share_a_key() -> None:
    one = pb.Context(tenant="a", conversation_id="b")
    assert key_of(one) == b"a/b"
    assert key_of(one) != key_of(pb.Context(tenant="ab", conversation_id=""))


def test_what_the_broker_is_asked_for_follows_from_the_topics() -> None:
    specifications = wanted(KafkaSettings())
    assert len(specifications) == 2 * len(TOPICS)
    for topic in TOPICS:
        own, dead = specifications[topic.name], specifications[topic.dead_letters]
        assert own["cleanup.policy"] == topic.cleanup
        assert int(own["retention.ms"]) == topic.retention_ms
        assert own["message.timestamp.type"] == "LogAppendTime"
        assert dead["cleanup.policy"] == "delete", "a dead letter is never compacted away"
        assert int(dead["max.message.bytes"]) > int(own["max.message.bytes"]), "a letter has room for its reason"
        assert int(dead["retention.ms"]) >= int(own["retention.ms"])


def test_who_reads_what_is_what_the_services_read() -> None:
    """What is purged must have been read by all of these: a reader that is missing here could lose records."""
    inputs = {
        "sentinel": sentinel.INPUTS, "text_encoder": text_encoder.INPUTS, "audio_encoder": (topics.UTTERANCE,),
        "video_encoder": (topics.UTTERANCE,), "joiner": joiner.INPUTS, "strategist": strategist.INPUTS,
        "responder": responder.INPUTS, "reward": reward.INPUTS,
    }  # fmt: skip
    told = {topic.name: {name for name, read in inputs.items() if topic in read} for topic in TOPICS}
    assert {name: set(readers) for name, readers in READERS.items()} == {
        name: readers for name, readers in told.items() if readers
    }


def test_a_file_of_the_broker_is_closed_soon_enough_to_be_deleted() -> None:
    for specification in wanted(KafkaSettings()).values():
        assert int(specification["segment.ms"]) <= int(specification["retention.ms"])


def test_only_state_is_compacted() -> None:
    assert [topic for topic in TOPICS if "compact" in topic.cleanup] == [topics.CONVERSATION]
