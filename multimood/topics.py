"""The one place that names topics: what each carries, how long it is kept, and how it is cleaned.

Every per-utterance topic has the same partition count and the same key, so that the records of one conversation meet in
the same partition number of every topic.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from google.protobuf.message import Message

from multimood.contracts.v1 import events_pb2 as pb

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic and its contract."""

    name: str
    message: type[Message]
    retention_ms: int
    cleanup: str = "delete"
    max_message_bytes: int = 1 << 20

    @property
    def event_type(self) -> str:
        """The CloudEvents type of its records; the schema version is in the name."""
        return self.name

    @property
    def dead_letters(self) -> str:
        """Name of the topic that takes the records nobody could process."""
        return f"{self.name}.dlq"


def _topic(name: str, message: type[Message], retention_ms: int = DAY_MS, cleanup: str = "delete") -> Topic:
    return Topic(f"multimood.{name}.v1", message, retention_ms, cleanup)


UTTERANCE: Final = _topic("utterance", pb.Utterance)
TRANSCRIPT: Final = _topic("transcript", pb.Transcript)
SCREENING: Final = _topic("screening", pb.Screening)
EMBEDDING_TEXT: Final = _topic("embedding.text", pb.Embedding)
EMBEDDING_AUDIO: Final = _topic("embedding.audio", pb.Embedding)
EMBEDDING_VIDEO: Final = _topic("embedding.video", pb.Embedding)
FEATURES: Final = _topic("features", pb.Features)
DECISION: Final = _topic("decision", pb.Decision)
REPLY: Final = _topic("reply", pb.Reply, 7 * DAY_MS)
REPLY_DELTA: Final = _topic("reply.delta", pb.ReplyDelta, HOUR_MS)
TRUST: Final = _topic("trust", pb.TrustScore, 7 * DAY_MS)
FEEDBACK: Final = _topic("feedback", pb.Feedback, 7 * DAY_MS)
ESCALATION: Final = _topic("escalation", pb.Escalation, 30 * DAY_MS)
ACKNOWLEDGEMENT: Final = _topic("acknowledgement", pb.Acknowledgement, 30 * DAY_MS)
"""Kept as long as the escalations, which come before: one whose acknowledgement is gone would be open again."""
CONVERSATION: Final = _topic("conversation", pb.Conversation, 7 * DAY_MS, "compact,delete")
ERASURE: Final = _topic("erasure", pb.Erasure, 30 * DAY_MS)
"""As long as a worker may be away that holds something of the conversation."""

ROLLOUT: Final = _topic("rollout", pb.Rollout, 3650 * DAY_MS)
"""Few records, all of which every strategist reads: the last says which policy is served, and must not be forgotten."""

TOPICS: Final = (
    UTTERANCE, TRANSCRIPT, SCREENING, EMBEDDING_TEXT, EMBEDDING_AUDIO, EMBEDDING_VIDEO,
    FEATURES, DECISION, REPLY, REPLY_DELTA, TRUST, FEEDBACK, ESCALATION, ACKNOWLEDGEMENT,
    CONVERSATION, ERASURE, ROLLOUT,
)  # fmt: skip
EMBEDDINGS: Final = (EMBEDDING_TEXT, EMBEDDING_AUDIO, EMBEDDING_VIDEO)
BY_NAME: Final = {topic.name: topic for topic in TOPICS}
GIVES_UP: Final = MappingProxyType(
    {UTTERANCE.dead_letters: "joiner", FEATURES.dead_letters: "strategist", DECISION.dead_letters: "responder"}
)
"""Dead letters after which no reply can come, by who gave up: without an encoder or the sentinel there is still one."""
DEAD_LETTER_RETENTION_MS: Final = 30 * DAY_MS
SEGMENT_MS: Final = HOUR_MS
"""A file of the broker is written to for so long at most. Only then can it be deleted or compacted: without that bound
records stay on its disk days after their retention."""
COMPACTION_LAG_MS: Final = HOUR_MS
"""A state that was replaced is gone from a file so long after it was closed, at the latest."""
DEAD_LETTER_ROOM: Final = 64 << 10
"""By so many bytes a dead letter may be larger than the largest record: it is that record and some headers more."""


def key_of(context: pb.Context) -> bytes:
    """Partition key: tenant and conversation, so that a conversation stays in order and tenants never share a key."""
    return f"{context.tenant}/{context.conversation_id}".encode()
