"""CloudEvents binary mode on Kafka: attributes in headers, the protobuf message as the value.

Event ids are derived from the utterance and the stage, so that a repeated event is recognised by everyone.
"""

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast

from google.protobuf.message import DecodeError, Message

from multimood.errors import InvalidEventError
from multimood.telemetry import is_traceparent
from multimood.topics import Topic, key_of

if TYPE_CHECKING:
    from multimood.contracts.v1 import events_pb2 as pb

M = TypeVar("M", bound=Message)
Headers = Sequence[tuple[str, bytes | None]]

NAMESPACE: Final = uuid.UUID("5f0c4f5e-6c6d-5d0e-9c53-6d756c74696d")
ID_LENGTH: Final = 256
_SLASHES: Final = 2
"""In an utterance's name."""


@dataclass(frozen=True, slots=True)
class Output:
    """Something to be published: where, what, and under which id."""

    topic: Topic
    message: Message
    id: str

    @property
    def key(self) -> bytes:
        """Partition key: tenant and conversation."""
        return key_of(self.message.context)  # type: ignore[attr-defined]


class Event(Generic[M]):
    """A decoded record. Never changed, but its message may be put away and parsed again when it is asked for."""

    __slots__ = ("_message", "_missing", "_utterance", "_value", "id", "key", "received_at_us", "topic", "traceparent")

    def __init__(  # noqa: PLR0917 - as a dataclass would have it, which takes longer
        self, topic: Topic, message: M, id: str, key: bytes, traceparent: str, received_at_us: int,  # noqa: A002
        value: bytes | None = None, utterance: str | None = None,
    ) -> None:  # fmt: skip
        self.topic = topic
        self._message: M | None = message
        self.id = id
        self.key = key
        self.traceparent = traceparent
        self.received_at_us = received_at_us
        self._value = value
        self._utterance = utterance

    @property
    def message(self) -> M:
        """What the record says."""
        if self._message is None:
            self._message = cast("M", self.topic.message.FromString(cast("bytes", self._value)))
        return self._message

    @property
    def value(self) -> bytes:
        """The same in bytes."""
        return self._value if self._value is not None else self.message.SerializeToString()

    @property
    def missing(self) -> int:
        """Why there is nothing in it (a MissingReason); 0 when there is, or when its kind knows no such thing."""
        return self._missing if self._message is None else getattr(self._message, "missing", 0)

    @property
    def utterance(self) -> str:
        """The utterance's name: tenant, conversation and utterance together."""
        if self._utterance is None:
            self._utterance = utterance_name(self.message.context)  # type: ignore[attr-defined]
        return self._utterance

    def put_away(self) -> None:
        """Keep the record's bytes only, which are there anyway, if it was made of any."""
        if self._value is not None:
            self._missing = self.missing
            self._message = None


def utterance_name(context: "pb.Context") -> str:
    """What names an utterance: no two tenants, and no two conversations of one, need know of each other's ids."""
    return f"{context.tenant}/{context.conversation_id}/{context.utterance_id}"


def event_id(utterance: str, topic: Topic, part: str = "") -> str:
    """Deterministic id of what `topic` says about an utterance; the same input always gives the same id."""
    # What str(uuid.uuid5(...)) gives, in a third of the time.
    name = f"{topic.name}/{utterance}/{part}".encode()
    digest = bytearray(hashlib.sha1(NAMESPACE.bytes + name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def output(topic: Topic, message: Message, part: str = "") -> Output:
    """Wrap a message with its deterministic id."""
    return Output(topic, message, event_id(utterance_name(message.context), topic, part))  # type: ignore[attr-defined]


@lru_cache(maxsize=64)
def _fixed_headers(topic: Topic, service: str) -> tuple[tuple[str, bytes], ...]:
    return (
        ("ce_specversion", b"1.0"),
        ("ce_type", topic.event_type.encode()),
        ("ce_source", f"/multimood/{service}".encode()),
        ("content-type", b"application/protobuf"),
    )


def encode_headers(out: Output, service: str, traceparent: str = "") -> list[tuple[str, bytes]]:
    """Headers of a record: CloudEvents attributes and the W3C trace context. Ids only, no content."""
    headers = [
        *_fixed_headers(out.topic, service),
        ("ce_id", out.id.encode()),
        ("ce_time", datetime.now(UTC).isoformat().encode()),
        ("ce_subject", out.message.context.utterance_id.encode()),  # type: ignore[attr-defined]
    ]
    if traceparent:
        headers.append(("traceparent", traceparent.encode()))
    return headers


def header(headers: Iterable[tuple[str, bytes | None]] | None, name: str) -> str:
    """Text of a header, empty when it is absent; never more than 1024 bytes of it."""
    for key, value in headers or ():
        if key == name and value is not None:
            return _text(value)
    return ""


def _text(value: bytes | None) -> str:
    return value[:1024].decode("utf-8", "replace") if value else ""


def _valid_id(value: str) -> bool:
    return 0 < len(value) <= ID_LENGTH and "/" not in value and value.isprintable()


def decode(
    topic: Topic, value: bytes | None, headers: Headers | None, key: bytes | None, received_at_us: int
) -> Event[Message]:
    """Decode a record of `topic`.

    Raises InvalidEventError when it is empty, too large, of another schema, undecodable, lacks a tenant, conversation
    or utterance id, or has another key than these two. The error names the fault, never the content.
    """
    if value is None:
        raise InvalidEventError(f"a record of {topic.name} has no value")
    if len(value) > topic.max_message_bytes:
        raise InvalidEventError(
            f"a record of {topic.name} has {len(value)} bytes; at most {topic.max_message_bytes} are accepted"
        )
    said = dict(reversed(headers)) if headers else {}  # of two of one name the first counts
    declared = said.get("ce_type")
    if declared and declared != topic.event_type.encode():
        raise InvalidEventError(f"a record of {topic.name} declares another type; expected ce_type {topic.event_type}")
    try:
        message = topic.message.FromString(value)
    except DecodeError:
        raise InvalidEventError(f"a record of {topic.name} is no {topic.message.DESCRIPTOR.full_name}") from None
    context: pb.Context = message.context  # type: ignore[attr-defined]
    tenant, conversation, utterance = context.tenant, context.conversation_id, context.utterance_id
    name = f"{tenant}/{conversation}/{utterance}"
    # One look at all three; one by one only where that is not enough.
    plain = tenant and conversation and utterance and len(name) <= ID_LENGTH and name.isprintable()
    if not plain or name.count("/") != _SLASHES:
        _check_ids(topic, context)
    if key != name[: -len(utterance) - 1].encode():  # or the conversation's records would lie anywhere and never meet
        raise InvalidEventError(f"a record of {topic.name} has a key that is not its '<tenant>/<conversation id>'")
    declared_id = _text(said.get("ce_id"))
    identity = declared_id if _valid_id(declared_id) else event_id(name, topic)
    # Handed on into other headers, so nothing but a trace context may be in it.
    traceparent = _text(said.get("traceparent"))
    if traceparent and not is_traceparent(traceparent):
        traceparent = ""
    return Event(topic, message, identity, key, traceparent, received_at_us, value, name)


def _check_ids(topic: Topic, context: "pb.Context") -> None:
    for name in ("tenant", "conversation_id", "utterance_id"):
        if not _valid_id(getattr(context, name)):
            raise InvalidEventError(
                f"a record of {topic.name} has no valid context.{name}: "
                f"1 to {ID_LENGTH} printable characters without '/'"
            )
