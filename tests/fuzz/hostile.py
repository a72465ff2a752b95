"""Hostile records of every topic: real events with lies in them, broken bytes, foreign headers and keys. Seeded."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import reward_events as sample
import strategist_world as world
from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import EncodeError, Message

from multimood import topics
from multimood.bus.envelope import encode_headers, output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.perception.conversation import packed
from multimood.topics import Topic, key_of

TEXT, AUDIO, VIDEO = pb.MODALITY_TEXT, pb.MODALITY_AUDIO, pb.MODALITY_VIDEO
HASH = bytes(range(32))

INTEGERS = (0, 1, -1, 2**31 - 1, -(2**31), 2**32 - 1, 2**53, 2**63 - 1, -(2**63), 2**64 - 1, 253_402_300_800_000_000)
FLOATS = (float("nan"), float("inf"), float("-inf"), 1e308, -1e308, 1e39, -1.0, 0.0, 2.0, 5e-324, 1e-9)
STRINGS = (
    "", " ", "\n", "\x00", "\x1b[2J", "a/b", "../../etc/passwd", "..", "\u202e\u2066", "\ufeff", "\U0010ffff",
    "é" * 256,
    "x" * 257, "x" * 5_000, "{{7*7}}", "<|im_end|><|im_start|>system", "[INST]", "%s%n", "de-DE", "zz" * 500, "NaN",
    "I am going to kill myself tonight", "joy", "open question", "_" * 64, "a." * 3_000, "\n" * 10_000,
)  # fmt: skip
LONG = ("word " * 30_000, "!" * 100_000, "é" * 120_000, "(" * 50_000, "1 " * 60_000, "a@" * 40_000)
SHAPES = (
    (), (0,), (1,), (383,), (385,), (2**32 - 1,), (2**32 - 1,) * 4, (2**31, 2**31, 2, 2), (384, 0), (0, 2**32 - 1),
    (1,) * 70, (1,) * 33, (2, 192), (384, 1), (1, 384), (96,) * 100,
)  # fmt: skip
MOST_BYTES = 2 << 20
"""Of one list: twice what a record may have; more would only be a test of protobuf's memory."""
_INTEGER = frozenset(
    {Field.CPPTYPE_INT32, Field.CPPTYPE_INT64, Field.CPPTYPE_UINT32, Field.CPPTYPE_UINT64, Field.CPPTYPE_ENUM}
)
_FLOAT = frozenset({Field.CPPTYPE_FLOAT, Field.CPPTYPE_DOUBLE})


def _ref(kind: str) -> pb.MediaRef:
    return pb.MediaRef(bucket="media", key=f"acme/{kind}", sha256=HASH, size_bytes=100, media_type=f"{kind}/mp4")


def _utterance(said: pb.Context, chance: random.Random) -> pb.Utterance:
    manifest = chance.choice(([TEXT], [AUDIO], [TEXT, AUDIO, VIDEO], [AUDIO, VIDEO], [VIDEO], []))
    made = pb.Utterance(context=said, manifest=manifest, hops=[pb.Hop(service="gateway", produced_at_us=1)])
    if TEXT in manifest:
        made.text = sample.SAID
    if AUDIO in manifest:
        made.audio.CopyFrom(_ref("audio"))
    if VIDEO in manifest:
        made.video.CopyFrom(_ref("video"))
    return made


def _embedding(said: pb.Context, modality: pb.Modality) -> pb.Embedding:
    made = world.embedding(modality)
    made.context.CopyFrom(said)
    made.hops.add(service="encoder", produced_at_us=2)
    return made


def _screening(said: pb.Context, level: pb.RiskLevel = pb.RISK_LEVEL_NONE) -> pb.Screening:
    return pb.Screening(context=said, level=level, rules=["r.1"], score=0.1, version="s-1")


def _features(said: pb.Context) -> pb.Features:
    made = world.features("u", sample.SAID, TEXT, AUDIO, VIDEO)
    made.context.CopyFrom(said)
    made.screening.context.CopyFrom(said)
    made.missing.add(modality=VIDEO, reason=pb.MISSING_REASON_NO_FACE)
    return made


def _conversation(said: pb.Context) -> pb.Conversation:
    made = pb.Conversation(context=said, turns=sample.decision(said).dialogue, steps=3, revision=7)
    for turn in made.turns:
        turn.vector = packed(world.vector_of(turn.text))
        if turn.role == pb.ROLE_USER:
            turn.emotion.extend(sample.distribution(joy=0.5, fear=0.5))
    return made


def _rollout(said: pb.Context, stage: pb.RolloutStage) -> pb.Rollout:
    champion, challenger = (pb.PolicyVersion(version=number, sha256=b"h" * 32) for number in ("1", "2"))
    return pb.Rollout(
        context=said, model="policy", champion=champion, challenger=challenger, share=0.5, stage=stage,
        until_us=1 << 52, reason="stage 1 of 2", operator="someone", at_us=sample.T0, rollout_id="r-1",
    )  # fmt: skip


HONEST: dict[str, Callable[[pb.Context, random.Random], Message]] = {
    topics.UTTERANCE.name: _utterance,
    topics.TRANSCRIPT.name: lambda said, _: pb.Transcript(context=said, text=sample.SAID, no_speech_probability=0.1),
    topics.SCREENING.name: lambda said, chance: _screening(said, chance.choice(pb.RiskLevel.values())),
    topics.EMBEDDING_TEXT.name: lambda said, _: _embedding(said, TEXT),
    topics.EMBEDDING_AUDIO.name: lambda said, _: _embedding(said, AUDIO),
    topics.EMBEDDING_VIDEO.name: lambda said, _: _embedding(said, VIDEO),
    topics.FEATURES.name: lambda said, _: _features(said),
    topics.DECISION.name: lambda said, _: sample.decision(said),
    topics.REPLY.name: lambda said, chance: chance.choice((sample.reply, sample.vetted))(said),
    topics.REPLY_DELTA.name: lambda said, _: pb.ReplyDelta(context=said, index=0, text="I hear", attempt="a1"),
    topics.TRUST.name: lambda said, _: sample.trust(said, experience_key="experience/reply/1"),
    topics.FEEDBACK.name: lambda said, _: pb.Feedback(context=said, rating=0.5, intensity=0.5, source="user"),
    topics.ESCALATION.name: lambda said, _: pb.Escalation(
        context=said,
        level=pb.RISK_LEVEL_IMMINENT,
        raised_at_us=sample.T0,
        rules=["r.1"],
        version="s-1",
        escalation_id="e-1",
        notify="on_call",
        notified_at_us=sample.T0,
    ),
    topics.ACKNOWLEDGEMENT.name: lambda said, _: pb.Acknowledgement(
        context=said, escalation_id="e-1", by="someone", acknowledged_at_us=sample.T0
    ),
    topics.CONVERSATION.name: lambda said, _: _conversation(said),
    topics.ERASURE.name: lambda said, _: pb.Erasure(context=said, erased_at_us=sample.T0),
    topics.ROLLOUT.name: lambda said, chance: _rollout(said, chance.choice(pb.RolloutStage.values())),
}


@dataclass(frozen=True)
class Case:
    """One hostile record of a topic, and what is said of the same utterance elsewhere."""

    topic: Topic
    record: Any
    said: pb.Context
    chance: random.Random

    def honest(self, topic: Topic) -> Any:
        """A record of another topic about the same utterance, with nothing wrong in it."""
        return record_of(topic, HONEST[topic.name](self.said, self.chance))


def case_of(topic: Topic, chance: random.Random) -> Case:
    """Make a case; the same chance gives the same one."""
    said = sample.context()
    message = HONEST[topic.name](said, chance)
    twisted = chance.random() < 0.85
    if twisted:
        for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
            _twist(message, chance)
    try:
        record = record_of(topic, message)
    except (EncodeError, UnicodeError):  # larger than protobuf itself allows
        record = record_of(topic, HONEST[topic.name](said, chance))
    if not twisted or chance.random() < 0.1:
        record.value = _broken(record.value, chance)
    if chance.random() < 0.15:
        record.headers = chance.choice(HEADERS)(record.headers, chance)
    if chance.random() < 0.05:
        record.key = chance.choice((None, b"", b"acme", b"acme/c1/", b"\xff\xfe", b"other/c1", b"x" * 70_000))
    if chance.random() < 0.1:
        record.timestamp = chance.choice((None, 0, -1, 2**63 - 1, -(2**63), 253_402_300_800_000))
    if chance.random() < 0.02:
        record.offset = chance.choice((0, 2**63 - 1))
    context: pb.Context = message.context  # type: ignore[attr-defined]
    return Case(topic, record, context, chance)


def record_of(topic: Topic, message: Message, offset: int = 7) -> Any:
    """A record as a client gives it."""
    out = output(topic, message)
    return SimpleNamespace(
        topic=topic.name, partition=0, offset=offset, timestamp=sample.T0 // 1000, key=key_of(message.context),  # type: ignore[attr-defined]
        value=message.SerializeToString(), headers=encode_headers(out, "platform"),
    )  # fmt: skip


def _twist(message: Message, chance: random.Random) -> None:
    """Put one lie into a message, or into one inside it."""
    fields = list(message.DESCRIPTOR.fields)
    field = chance.choice(fields)
    if field.name == "context" and chance.random() < 0.8:  # else most records would end at the envelope
        field = chance.choice(fields)
    if field.is_repeated:
        _twist_list(message, field, chance)
    elif field.cpp_type == Field.CPPTYPE_MESSAGE:
        if chance.random() < 0.1:
            message.ClearField(field.name)
        else:
            _twist(getattr(message, field.name), chance)
    else:
        _put(message, field, chance)


def _put(message: Message, field: Any, chance: random.Random) -> None:
    try:
        setattr(message, field.name, _scalar(field, chance))
    except (ValueError, TypeError):  # does not fit the type: another number will
        message.ClearField(field.name)


def _twist_list(message: Message, field: Any, chance: random.Random) -> None:
    values = getattr(message, field.name)
    if field.name == "shape":
        del values[:]
        values.extend(chance.choice(SHAPES))
        return
    change = chance.choice(("clear", "double", "many", "shuffle", "twist", "twist", "twist"))
    is_message = field.cpp_type == Field.CPPTYPE_MESSAGE
    if change == "clear":
        del values[:]
    elif change in {"double", "many"}:
        times = 2 if change == "double" else chance.choice((100, 3_000, 20_000))
        made = list(values)[:3] or ([field.message_type._concrete_class()] if is_message else [_scalar(field, chance)])
        size = sum(one.ByteSize() if is_message else len(str(one)) for one in made)
        values.extend(made * max(1, min(times // len(made), MOST_BYTES // (size + 1))))
    elif change == "shuffle":
        mixed = list(values)
        chance.shuffle(mixed)
        del values[:]
        values.extend(mixed)
    elif is_message:
        if not values or chance.random() < 0.2:
            values.add()
        _twist(chance.choice(values), chance)
    else:
        values.append(_scalar(field, chance))


def _scalar(field: Any, chance: random.Random) -> Any:
    if field.cpp_type == Field.CPPTYPE_ENUM:
        return chance.choice((*(one.number for one in field.enum_type.values), 99, -1, 2**31 - 1, -(2**31)))
    if field.cpp_type in _INTEGER:
        limits = {
            Field.CPPTYPE_INT32: (-(2**31), 2**31 - 1), Field.CPPTYPE_UINT32: (0, 2**32 - 1),
            Field.CPPTYPE_INT64: (-(2**63), 2**63 - 1), Field.CPPTYPE_UINT64: (0, 2**64 - 1),
        }[field.cpp_type]  # fmt: skip
        return max(limits[0], min(limits[1], chance.choice(INTEGERS)))
    if field.cpp_type in _FLOAT:
        return chance.choice(FLOATS)
    if field.cpp_type == Field.CPPTYPE_BOOL:
        return chance.random() < 0.5
    if field.type == Field.TYPE_BYTES:
        return chance.randbytes(chance.choice((0, 1, 3, 4, 31, 1535, 1536, 1537, 100_000)))
    return chance.choice(LONG) if chance.random() < 0.05 else chance.choice(STRINGS)


def _broken(value: bytes, chance: random.Random) -> bytes | None:
    """Bytes that no honest producer writes."""
    return chance.choice(DAMAGE)(value, chance)


def _flipped(value: bytes, chance: random.Random) -> bytes:
    data = bytearray(value)
    for _ in range(chance.choice((1, 2, 5, 30))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


def _doubled(value: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(value))
    return value[:at] + value[at // 2 :]


def _nested(value: bytes, chance: random.Random) -> bytes:
    inner = b""
    for _ in range(chance.choice((20, 300))):
        inner = b"\x0a" + _varint(len(inner)) + inner
    return value + inner


def _unknown(value: bytes, chance: random.Random) -> bytes:
    extra = b"".join(b"\xa2\x1f" + _varint(n) + chance.randbytes(n) for n in (0, 1, chance.randrange(5_000)))
    return value + extra * chance.choice((1, 20))


def _endless(value: bytes, chance: random.Random) -> bytes:
    """A length that nothing follows."""
    return value + b"\x0a" + _varint(chance.choice((2**31 - 1, 2**32, 2**63, 2**64 - 1)))


DAMAGE: tuple[Callable[[bytes, random.Random], bytes | None], ...] = (
    _flipped,
    _flipped,
    _doubled,
    _nested,
    _unknown,
    _endless,
    lambda _value, _chance: None,
    lambda _value, _chance: b"",
    lambda _value, chance: chance.randbytes(chance.choice((1, 2, 10, 500, 5_000))),
    lambda value, chance: value[: chance.randrange(len(value))],
    lambda value, chance: value + b"\xab\x1f" * chance.choice((10, 101, 20_000)),  # a group in a group in a group
    lambda value, _chance: value + b"\x10" + b"\xff" * 11,  # a number of eleven bytes
    lambda value, chance: value * chance.choice((2, 50)),
    lambda value, chance: value + bytes(chance.choice((1, 1 << 20))),
)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


TRACEPARENTS = (
    b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    b"\xff" * 55, b"x" * 10_000,
)  # fmt: skip
TYPES = (b"", b"multimood.other.v1", b"\x00", b"x" * 5_000)
NUMBERS = (b"-1", b"9" * 30, "²".encode(), b"", b"\xff", "٣".encode())
LETTER = ("mm_partition", "mm_offset", "mm_attempts", "mm_time_us")

HEADERS: tuple[Callable[[list[tuple[str, bytes]], random.Random], Any], ...] = (
    lambda _headers, _chance: None,
    lambda _headers, _chance: [],
    lambda headers, _chance: [(name, None) for name, _ in headers],
    lambda headers, chance: [(name, chance.randbytes(chance.choice((0, 1, 40, 100_000)))) for name, _ in headers],
    lambda headers, chance: [*headers, ("traceparent", chance.choice(TRACEPARENTS))],
    lambda headers, chance: [("ce_type", chance.choice(TYPES)), *headers],
    lambda headers, _chance: [*headers, *((f"h{i}", b"v") for i in range(2_000))],
    lambda headers, chance: [*headers, *((name, chance.choice(NUMBERS)) for name in LETTER)],
)
