"""Topics' settings are changed for a moment and taken back, also those that a killed run left behind."""

from typing import Any

import pytest
from kafka.errors import TopicAuthorizationFailedError

from multimood import topics
from multimood.bus.topic_settings import TopicSettings
from multimood.bus.traces import Traces
from multimood.contracts.v1 import events_pb2 as pb
from multimood.settings import KafkaSettings

pytestmark = pytest.mark.unit

NAME = topics.UTTERANCE.name
HURRY = {"segment.ms": "500"}


class Admin:
    """A broker's settings of one topic."""

    def __init__(self, *, allowed: bool = True, **values: str) -> None:
        self.values = {key.replace("_", "."): value for key, value in values.items()}
        self._allowed = allowed

    def describe_configs(self, resources: list[Any]) -> Any:
        return {"TOPIC": {resources[0].name: {key: {"value": value} for key, value in self.values.items()}}}

    def alter_configs(self, resources: list[Any]) -> None:
        if not self._allowed:
            raise TopicAuthorizationFailedError
        for key, value in resources[0].configs.items():
            if value == ("DELETE", None):
                self.values.pop(key, None)
            else:
                self.values[key] = value


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"segment_ms": "1234"}, {"segment.ms": "1234"}),
        ({}, {}),
        ({"segment_ms": "500"}, {"segment.ms": str(topics.SEGMENT_MS)}),
    ],
)
def test_what_was_there_is_there_again(before: dict[str, str], after: dict[str, str]) -> None:
    admin = Admin(**before)
    settings = TopicSettings(admin, KafkaSettings())

    def fails_meanwhile() -> None:
        with settings.changed([NAME], HURRY):
            assert admin.values == HURRY
            raise ValueError("whatever")

    with pytest.raises(ValueError, match="whatever"):
        fails_meanwhile()
    assert admin.values == after
    assert settings.ours


def test_where_they_are_not_ours_the_work_is_done_all_the_same() -> None:
    admin = Admin(allowed=False, segment_ms="1234")
    settings = TopicSettings(admin, KafkaSettings())
    with settings.changed([NAME], HURRY):
        assert admin.values == {"segment.ms": "1234"}
    assert not settings.ours


def test_a_person_s_records_are_told_by_context_and_letters_by_key_too() -> None:
    class Record:
        def __init__(self, value: bytes, key: bytes = b"t/c", partition: int = 3) -> None:
            self.value, self.key, self.partition = value, key, partition

    def context(subject: str, conversation: str = "c") -> pb.Context:
        return pb.Context(tenant="t", conversation_id=conversation, utterance_id="u", subject=subject)

    traces = Traces(lambda said: said.subject == "jane")
    ref = pb.MediaRef(bucket="media", key="t/x")
    traces.see(topics.UTTERANCE, Record(pb.Utterance(context=context("jane"), audio=ref).SerializeToString()))
    traces.see(topics.UTTERANCE, Record(pb.Utterance(context=context("john", "d")).SerializeToString()))
    traces.see(topics.CONVERSATION, Record(pb.Conversation(context=context("jane"), steps=2).SerializeToString()))
    traces.see(topics.REPLY, Record(b"\xff no reply"))
    assert (traces.records, traces.states, traces.partitions) == (1, 0, {3})
    assert list(traces.conversations) == [b"t/c"]
    assert list(traces.media) == [("media", "t/x")]
    traces.see_letter(topics.UTTERANCE, Record(b"\xff nobody can read it", b"t/c", 1))
    traces.see_letter(topics.REPLY, Record(pb.Reply(context=context("jane", "e")).SerializeToString(), b"t/e"))
    traces.see_letter(topics.REPLY, Record(pb.Reply(context=context("john", "d")).SerializeToString(), b"t/d"))
    assert traces.letters == 2
    assert traces.dead == {(topics.UTTERANCE.dead_letters, 1), (topics.REPLY.dead_letters, 3)}
