"""Whatever a client streams: it is refused in a way that says what to change, or becomes one event that all can read.

Requests go through their bytes, some damaged, then through the gateway's own checks, its uploads and its acceptance.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given, settings
from hypothesis import strategies as st

from multimood.bus import output
from multimood.bus.envelope import decode
from multimood.contracts.v1 import events_pb2 as pb
from multimood.contracts.v1 import gateway_pb2 as gw
from multimood.errors import NotFoundError, UnavailableError
from multimood.privacy.media import MediaSeals
from multimood.privacy.pseudonyms import Pseudonyms
from multimood.topics import ACKNOWLEDGEMENT, FEEDBACK, UTTERANCE, Topic
from services.gateway.accept import Acceptor
from services.gateway.acknowledgement import check_acknowledgement
from services.gateway.ingest import first_part
from services.gateway.limits import TenantLimits, UploadMemory
from services.gateway.outcomes import Outcomes
from services.gateway.refusals import InvalidRequestError, OverLimitError
from services.gateway.turn import IngestLimits, check_feedback, check_turn

pytestmark = pytest.mark.property

TENANT = "t"
LIMITS = IngestLimits(text_chars=200, media_bytes=3_000, upload_s=5.0)
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00"


def mostly(good: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Odd once in twelve: of many fields one is, often enough."""
    return st.integers(0, 11).flatmap(lambda number: good if number else odd)


odd_ids = st.sampled_from(["a" * 129, "", "/", "c/u", "\n", "ü", "../x"]) | st.text(max_size=9)
ids = mostly(st.sampled_from(["c", "u-1", "a" * 128]), odd_ids)
texts = mostly(
    st.sampled_from(["", "I am fine.", "\u202e\x00\U0010ffff"]), st.sampled_from(["   ", "x" * 201]) | st.text()
)
times = mostly(st.just(0), st.sampled_from([-1, 1, 1_790_000_000, 2**63 - 1, -(2**63)]) | st.integers(0, 2**62))
references = st.builds(
    pb.MediaRef,
    bucket=mostly(st.sampled_from(["", "media"]), st.just("secrets")),
    key=mostly(st.just("t/a/b"), st.sampled_from(["t/x", "t/../u/x", "u/a", "t/", "t", "", "t/" + "k" * 600])),
    sha256=mostly(st.just(bytes(32)), st.sampled_from([b"", bytes(31), bytes(64)])),
    size_bytes=mostly(st.sampled_from([1, 3_000]), st.sampled_from([0, 3_001, -1, 2**63 - 1])),
    media_type=st.sampled_from(["", "audio/wav", "text/html"]),
)
starts = st.builds(
    gw.TurnStart,
    conversation_id=ids, utterance_id=ids, text=texts, occurred_at_us=times,
    locale=mostly(st.sampled_from(["", "en", "de-CH"]), st.sampled_from(["x" * 50, "en_GB", "é"])),
    audio=st.booleans(), video=mostly(st.just(value=False), st.just(value=True)),
    audio_ref=mostly(st.none(), references), video_ref=st.none() | references,
    privacy=st.builds(pb.Privacy, retention_class=mostly(st.just("short"), st.sampled_from(["a b", "x" * 65]))),
)  # fmt: skip
chunks = st.builds(
    gw.MediaChunk,
    modality=mostly(st.just(pb.MODALITY_AUDIO), st.sampled_from([pb.MODALITY_VIDEO, pb.MODALITY_TEXT, 0, 99])),
    data=mostly(st.sampled_from([WAV, b"x", bytes(1_000)]), st.sampled_from([b"", bytes(3_001)])),
)
first = mostly(st.builds(gw.ConverseRequest, start=starts), st.builds(gw.ConverseRequest, chunk=chunks))
later = mostly(
    st.builds(gw.ConverseRequest, chunk=chunks),
    st.just(gw.ConverseRequest()) | st.builds(gw.ConverseRequest, start=starts),
)
streams = st.tuples(first, st.lists(later, max_size=3))
damage = mostly(st.none(), st.tuples(st.integers(0, 400), st.integers(0, 255)))


def through_bytes(message: Message, spot: tuple[int, int] | None) -> Any:
    """The message as it comes from the wire. Raises DecodeError, as the server does before any of our code."""
    data = bytearray(message.SerializeToString())
    if spot is not None and data:
        data[spot[0] % len(data)] = spot[1]
    return type(message).FromString(bytes(data))


class Bus:
    """Remembers what was published, if it is there."""

    def __init__(self, there: bool) -> None:
        self.there = there
        self.published: list[Message] = []

    async def publish(self, topic: Topic, message: Message, _event_id: str | None = None) -> None:
        assert topic is UTTERANCE
        if not self.there:
            raise UnavailableError("no broker")
        self.published.append(message)


class Shelf:
    """A store that takes everything and has one object."""

    media_bucket = "media"

    async def put(self, bucket: str, key: str, data: bytes, media_type: str) -> pb.MediaRef:
        return pb.MediaRef(bucket=bucket, key=key, size_bytes=len(data), media_type=media_type, sha256=bytes(32))

    async def peek(self, ref: pb.MediaRef, **_about: Any) -> bytes:
        if ref.key != "t/a/b":
            raise NotFoundError("no such object")
        return WAV


async def converse(bus: Bus, memory: UploadMemory, stream: list[gw.ConverseRequest]) -> None:
    tenants = TenantLimits(rate_per_s=100, burst=100, bytes_per_minute=100_000)
    acceptor = Acceptor(
        bus, Shelf(), Outcomes(most=10, most_bytes=10_000, ttl_s=60),  # type: ignore[arg-type]
        limits=LIMITS, tenants=tenants, memory=memory, store_timeout_s=1,
        seals=MediaSeals(Pseudonyms(b"for tests"), None),
    )  # fmt: skip

    async def coming() -> AsyncIterator[gw.ConverseRequest]:
        for one in stream:
            yield one

    calls = coming()
    turn = check_turn(await first_part(calls, LIMITS), TENANT, LIMITS, Shelf.media_bucket)
    assert await acceptor.accept(turn, calls) is False


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(streams, damage, st.sampled_from([True, True, True, False]), st.sampled_from([10_000, 2_000]))
def test_a_stream_is_refused_or_becomes_one_readable_utterance(
    stream: tuple[gw.ConverseRequest, list[gw.ConverseRequest]],
    spot: tuple[int, int] | None,
    there: bool,
    room: int,
) -> None:
    bus, memory = Bus(there), UploadMemory(room)
    try:
        came = [through_bytes(stream[0], spot), *(through_bytes(one, None) for one in stream[1])]
    except DecodeError:
        return
    try:
        asyncio.run(converse(bus, memory, came))
    except (InvalidRequestError, OverLimitError):
        assert not bus.published
    except UnavailableError:
        assert not there
    else:
        (utterance,) = bus.published
        record = output(UTTERANCE, utterance)
        event = decode(UTTERANCE, utterance.SerializeToString(), [], record.key, 0)
        said: Any = event.message
        assert said.context.tenant == TENANT
        assert said.manifest
        assert (pb.MODALITY_TEXT in said.manifest) == bool(said.text.strip())
        assert all(ref.bucket == "media" and ref.key.startswith("t/") for ref in (said.audio, said.video) if ref.key)
    assert memory.held == 0


@settings(max_examples=300, deadline=None)
@given(st.builds(gw.AcknowledgeRequest, conversation_id=ids, utterance_id=ids, escalation_id=ids, by=texts), damage)
def test_an_acknowledgement_is_refused_or_becomes_a_readable_event(
    request: gw.AcknowledgeRequest, spot: tuple[int, int] | None
) -> None:
    try:
        taken = check_acknowledgement(through_bytes(request, spot), TENANT)
    except (DecodeError, InvalidRequestError):
        return
    decode(ACKNOWLEDGEMENT, taken.SerializeToString(), [], output(ACKNOWLEDGEMENT, taken).key, 0)
    assert taken.escalation_id
    assert taken.by.strip() == taken.by != ""


@settings(max_examples=300, deadline=None)
@given(
    st.builds(
        gw.SendFeedbackRequest,
        conversation_id=ids, utterance_id=ids, source=texts, rating=st.none() | st.floats(),
        intensity=st.none() | st.floats(),
    ),
    damage,
)  # fmt: skip
def test_a_rating_is_refused_or_becomes_a_readable_event(
    rating: gw.SendFeedbackRequest, spot: tuple[int, int] | None
) -> None:
    try:
        feedback = check_feedback(through_bytes(rating, spot), TENANT)
    except (DecodeError, InvalidRequestError):
        return
    decode(FEEDBACK, feedback.SerializeToString(), [], output(FEEDBACK, feedback).key, 0)
    given_ratings = [getattr(feedback, name) for name in ("rating", "intensity") if feedback.HasField(name)]
    assert given_ratings
    assert all(0 <= value <= 1 for value in given_ratings)
