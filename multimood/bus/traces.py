"""Which records on the broker are a person's. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.message import DecodeError

from multimood import topics
from multimood.contracts.v1 import events_pb2 as pb
from multimood.topics import Topic, key_of

NAMING: Final = (topics.UTTERANCE, topics.REPLY, topics.CONVERSATION)
"""Topics that tell which conversations are a person's: each of their records names them."""

IsTheirs = Callable[[pb.Context], bool]


@dataclass(slots=True)
class Traces:
    """What the broker has of a person."""

    is_theirs: IsTheirs
    """Tells it by an utterance's context."""
    conversations: dict[bytes, pb.Context] = field(default_factory=dict)
    """By record key; a context of each."""
    records: int = 0
    """In the topics that name them."""
    states: int = 0
    """Records of conversations that still hold turns."""
    letters: int = 0
    media: dict[tuple[str, str], None] = field(default_factory=dict)
    """Objects that were referred to: bucket and key."""
    partitions: set[int] = field(default_factory=set)
    dead: set[tuple[str, int]] = field(default_factory=set)
    """Topics and partitions of dead letters of theirs."""

    def see(self, topic: Topic, record: Any) -> None:
        """Take a record of a topic that names persons."""
        message = message_of(topic, record.value)
        if message is None or not self.is_theirs(message.context):
            return
        self.conversations[key_of(message.context)] = message.context
        self.partitions.add(record.partition)
        if isinstance(message, pb.Conversation):
            self.states += bool(message.turns)
            return
        self.records += 1
        if isinstance(message, pb.Utterance):
            refs = (message.audio, message.video)
            self.media.update({(ref.bucket, ref.key): None for ref in refs if ref.key})

    def see_letter(self, topic: Topic, record: Any) -> None:
        """Take a dead letter of a topic, after all records that name persons."""
        if self.owns_letter(topic, record):
            self.letters += 1
            self.dead.add((topic.dead_letters, record.partition))

    def owns_letter(self, topic: Topic, record: Any) -> bool:
        """Tell whether a dead letter is theirs, by its key or by what it holds."""
        message = message_of(topic, record.value)
        return record.key in self.conversations or (message is not None and self.is_theirs(message.context))


def message_of(topic: Topic, value: bytes | None) -> Any:
    """What a record of a topic says; None when that cannot be told."""
    try:
        message: Any = topic.message.FromString(value or b"")
    except DecodeError:
        return None
    return message if message.context.tenant else None
