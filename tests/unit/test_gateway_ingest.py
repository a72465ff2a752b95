"""What a client may send: every lie of a stream is refused with the field, its shape and a remedy."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable

import pytest

from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.contracts.v1 import gateway_pb2 as gw
from multimood.errors import MultimoodError
from services.gateway.ingest import UNKNOWN_TYPE, Upload, first_part, receive
from services.gateway.limits import TenantLimits, UploadMemory
from services.gateway.refusals import InvalidRequestError, OverLimitError, UploadTimeoutError
from services.gateway.turn import IngestLimits, Turn, check_feedback, check_turn

pytestmark = pytest.mark.unit

LIMITS = IngestLimits(text_chars=50, media_bytes=3 << 20, upload_s=0.2)
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(100)
MP4 = b"\x00\x00\x00\x18ftypisom" + bytes(100)
SECRET = "I never told anyone"
DIGEST = hashlib.sha256(b"x").digest()


def turn(**fields: object) -> Turn:
    start = gw.TurnStart(**{"conversation_id": "c", "utterance_id": "u", **fields})
    return check_turn(start, "acme", LIMITS, "media")


def upload(of: Turn, memory: UploadMemory | None = None, bytes_per_minute: int = 1 << 30) -> Upload:
    tenants = TenantLimits(rate_per_s=1, burst=1, bytes_per_minute=bytes_per_minute)
    return Upload(of, LIMITS, tenants, memory or UploadMemory(1 << 30))


def chunk(modality: pb.Modality, data: bytes) -> gw.ConverseRequest:
    return gw.ConverseRequest(chunk=gw.MediaChunk(modality=modality, data=data))


async def stream(parts: Iterable[gw.ConverseRequest]) -> AsyncIterator[gw.ConverseRequest]:
    for part in parts:
        yield part


async def silence() -> AsyncIterator[gw.ConverseRequest]:
    await asyncio.sleep(10)
    yield gw.ConverseRequest()


# --- the first message ---------------------------------------------------------------------------------------------


def test_the_manifest_is_what_is_announced() -> None:
    assert turn(text="hi").manifest == [pb.MODALITY_TEXT]
    assert turn(audio=True, video=True).manifest == [pb.MODALITY_AUDIO, pb.MODALITY_VIDEO]
    assert turn(text=" \n", audio=True).manifest == [pb.MODALITY_AUDIO], "blanks are no words"
    ref = pb.MediaRef(key="acme/x/audio", sha256=DIGEST, size_bytes=3)
    referred = turn(text="hi", video=True, audio_ref=ref)
    assert referred.manifest == [pb.MODALITY_TEXT, pb.MODALITY_AUDIO, pb.MODALITY_VIDEO]
    assert referred.references[pb.MODALITY_AUDIO].bucket == "media", "an empty bucket is the media bucket"


def test_what_is_left_out_is_filled_in() -> None:
    before = now_us()
    start = gw.TurnStart(conversation_id="c", text="hi", privacy=pb.Privacy(learning_consent=True))
    first, second = (check_turn(start, "acme", LIMITS, "media").context for _ in range(2))
    assert first.utterance_id != second.utterance_id
    assert before <= first.occurred_at_us <= now_us()
    assert first.tenant == "acme"
    assert first.privacy.learning_consent
    assert not turn(text="hi").context.privacy.learning_consent, "no consent unless it was given"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"conversation_id": ""}, "start.conversation_id"),
        ({"conversation_id": "a/b"}, "start.conversation_id"),
        ({"conversation_id": "x" * 129}, "start.conversation_id"),
        ({"conversation_id": "a\n"}, "start.conversation_id"),
        ({"conversation_id": "Zoë"}, "start.conversation_id"),
        ({"utterance_id": "a b"}, "start.utterance_id"),
        ({"text": "x" * 51}, "start.text"),
        ({"text": ""}, "start"),
        ({"text": " \t\n"}, "start"),
        ({"locale": "english please"}, "start.locale"),
        ({"locale": "e"}, "start.locale"),
        ({"privacy": pb.Privacy(retention_class="a/b")}, "start.privacy.retention_class"),
        ({"occurred_at_us": -1}, "start.occurred_at_us"),
        ({"occurred_at_us": 1_700_000_000}, "start.occurred_at_us"),
        ({"occurred_at_us": 1_700_000_000_000}, "start.occurred_at_us"),
        ({"occurred_at_us": 1_700_000_000_000_000_000}, "start.occurred_at_us"),
        ({"audio": True, "audio_ref": pb.MediaRef(key="acme/a", sha256=DIGEST, size_bytes=1)}, "start.audio_ref"),
        ({"audio_ref": pb.MediaRef(key="other/a", sha256=DIGEST, size_bytes=1)}, "start.audio_ref"),
        ({"video_ref": pb.MediaRef(key="acme/../other/a", sha256=DIGEST, size_bytes=1)}, "start.video_ref"),
        ({"video_ref": pb.MediaRef(bucket="experience", key="acme/a", sha256=DIGEST, size_bytes=1)}, "start.video_ref"),
        ({"video_ref": pb.MediaRef(key="acme/a", sha256=DIGEST, size_bytes=4 << 20)}, "start.video_ref"),
        ({"video_ref": pb.MediaRef(key="acme/a", size_bytes=1)}, "start.video_ref"),
    ],
)
def test_a_first_message_that_lies_is_refused_by_field(fields: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        turn(**{"text": "hi", **fields})
    assert refused.value.field == field
    assert refused.value.args[0].startswith(f"{field}: ")
    assert "send" in refused.value.args[0] or "refer" in refused.value.args[0], "a remedy"


@pytest.mark.parametrize(
    "fields", [{"text": SECRET * 9}, {"locale": SECRET}, {"utterance_id": SECRET}, {"conversation_id": SECRET}]
)
def test_refusals_never_quote(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        turn(**{"text": "hi", **fields})
    assert "told" not in str(refused.value)


async def test_the_first_message_must_be_start() -> None:
    with pytest.raises(InvalidRequestError, match="not the first"):
        await first_part(stream([chunk(pb.MODALITY_AUDIO, WAV)]), LIMITS)
    with pytest.raises(InvalidRequestError, match="not the first"):
        await first_part(stream([]), LIMITS)
    with pytest.raises(UploadTimeoutError):
        await first_part(silence(), LIMITS)


# --- the chunks ----------------------------------------------------------------------------------------------------


async def test_chunks_are_put_together_per_modality() -> None:
    coming = upload(turn(text="hi", audio=True, video=True))
    parts = [chunk(pb.MODALITY_AUDIO, WAV[:20]), chunk(pb.MODALITY_VIDEO, MP4), chunk(pb.MODALITY_AUDIO, WAV[20:])]
    await receive(stream(parts), coming)
    assert coming.memory.held == len(WAV) + len(MP4)
    assert coming.take() == {pb.MODALITY_AUDIO: (WAV, "audio/wav"), pb.MODALITY_VIDEO: (MP4, "video/mp4")}
    coming.close()
    assert coming.memory.held == 0


@pytest.mark.parametrize(
    ("fields", "parts", "field"),
    [
        ({"audio": True}, [], "start.audio"),
        ({"audio": True}, [chunk(pb.MODALITY_AUDIO, b"")], "start.audio"),
        ({"audio": True, "video": True}, [chunk(pb.MODALITY_AUDIO, WAV)], "start.video"),
        ({"text": "hi"}, [chunk(pb.MODALITY_AUDIO, WAV)], "chunk.modality"),
        ({"audio": True}, [chunk(pb.MODALITY_VIDEO, MP4)], "chunk.modality"),
        ({"audio": True}, [chunk(pb.MODALITY_TEXT, b"hi")], "chunk.modality"),
        ({"audio": True}, [chunk(pb.MODALITY_UNSPECIFIED, WAV)], "chunk.modality"),
        ({"audio": True}, [chunk(pb.MODALITY_AUDIO, bytes((1 << 20) + 1))], "chunk.data"),
        ({"audio": True}, [chunk(pb.MODALITY_AUDIO, bytes(1 << 20))] * 4, "chunk.data of audio"),
        ({"audio": True}, [chunk(pb.MODALITY_AUDIO, WAV), gw.ConverseRequest(start=gw.TurnStart())], "start"),
        ({"audio": True}, [gw.ConverseRequest()], "start"),
        ({"audio": True}, [chunk(pb.MODALITY_AUDIO, b"no sound at all")], "chunk.data"),
        ({"audio": True}, [chunk(pb.MODALITY_AUDIO, MP4[:4] + b"JUNK" + MP4[8:])], "chunk.data"),
        ({"video": True}, [chunk(pb.MODALITY_VIDEO, WAV)], "chunk.data"),
    ],
)
async def test_a_stream_that_lies_is_refused_by_field(
    fields: dict[str, object], parts: list[gw.ConverseRequest], field: str
) -> None:
    coming = upload(turn(**fields))

    async def take_all() -> None:
        await receive(stream(parts), coming)
        coming.take()

    with pytest.raises(InvalidRequestError) as refused:
        await take_all()
    assert refused.value.field == field
    coming.close()
    assert coming.memory.held == 0


async def test_a_file_of_no_known_type_passes_beside_something_usable() -> None:
    coming = upload(turn(audio=True, video=True))
    await receive(stream([chunk(pb.MODALITY_AUDIO, b"junk"), chunk(pb.MODALITY_VIDEO, MP4)]), coming)
    assert coming.take() == {pb.MODALITY_AUDIO: (b"junk", UNKNOWN_TYPE), pb.MODALITY_VIDEO: (MP4, "video/mp4")}
    coming = upload(turn(text="hi", audio=True))
    await receive(stream([chunk(pb.MODALITY_AUDIO, b"junk")]), coming)
    assert coming.take() == {pb.MODALITY_AUDIO: (b"junk", UNKNOWN_TYPE)}


async def test_a_client_that_stops_sending_does_not_hold_the_call() -> None:
    with pytest.raises(UploadTimeoutError, match="half-close"):
        await receive(silence(), upload(turn(audio=True)))


async def test_memory_and_bytes_are_bounded_while_a_file_arrives() -> None:
    memory = UploadMemory(1 << 20)
    coming = upload(turn(audio=True), memory)
    with pytest.raises(OverLimitError) as refused:
        await receive(stream([chunk(pb.MODALITY_AUDIO, bytes(1 << 19))] * 3), coming)
    assert refused.value.limit == "memory"
    coming.close()
    assert memory.held == 0
    coming = upload(turn(audio=True), memory, bytes_per_minute=1000)
    with pytest.raises(OverLimitError) as refused:
        await receive(stream([chunk(pb.MODALITY_AUDIO, bytes(600))] * 2), coming)
    assert refused.value.limit == "bytes"
    coming.close()
    assert memory.held == 0


# --- feedback ------------------------------------------------------------------------------------------------------


def test_feedback_keeps_zero_apart_from_absent() -> None:
    feedback = check_feedback(
        gw.SendFeedbackRequest(conversation_id="c", utterance_id="u", rating=0.0, source="user"), "acme"
    )
    assert feedback.HasField("rating")
    assert not feedback.HasField("intensity")
    assert (feedback.context.tenant, feedback.source) == ("acme", "user")


@pytest.mark.parametrize(
    "fields",
    [{}, {"rating": 1.1}, {"rating": -0.1}, {"rating": float("nan")}, {"intensity": float("inf")},
     {"rating": 0.5, "source": "the user, I think"}, {"rating": 0.5, "utterance_id": ""}],
)  # fmt: skip
def test_feedback_that_says_nothing_or_too_much_is_refused(fields: dict[str, object]) -> None:
    request = gw.SendFeedbackRequest(**{"conversation_id": "c", "utterance_id": "u", **fields})
    with pytest.raises(MultimoodError):
        check_feedback(request, "acme")
