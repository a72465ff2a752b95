"""The encoders' cores with a model server and a store that answer as told: vectors, typed absences, transcripts."""

from collections.abc import Callable, Mapping
from typing import Any

import media_files
import numpy as np
import pytest
from bus_fakes import CANARY, context
from google.protobuf.message import Message

from multimood import topics
from multimood.bus import Event, output
from multimood.bus.envelope import Output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.encoding import vector_of
from multimood.errors import NotFoundError, UnavailableError
from multimood.inference import Inference
from multimood.media.errors import MediaError, MediaFault
from multimood.media.limits import MediaLimits
from multimood.privacy.disposal import Disposal
from multimood.retention import Retention
from multimood.sent_media import SentMedia
from multimood.store.errors import RefusedReferenceError
from multimood.topics import Topic, key_of
from services.audio_encoder.encoder import AudioEncoder
from services.audio_encoder.settings import AudioEncoderSettings
from services.text_encoder.encoder import TextEncoder
from services.video_encoder.encoder import VideoEncoder
from services.video_encoder.settings import VideoEncoderSettings

pytestmark = pytest.mark.unit

TEXT, AUDIO, VIDEO = pb.MODALITY_TEXT, pb.MODALITY_AUDIO, pb.MODALITY_VIDEO
IN_PROCESS = media_files.InProcess(MediaLimits())
WAV = media_files.sound("wav", "pcm_s16le", seconds=0.3)
MP4 = media_files.clip(seconds=0.4, width=32, height=32)

Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class Triton:
    """Answers by model, and remembers what it was asked."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    async def infer(self, model: str, inputs: Mapping[str, Any], deadline_s: float | None = None) -> Inference:
        self.asked.append((model, inputs))
        return Inference(self.answers[model](inputs), "7")


class Shelf:
    """A store with one object, or a reason why not."""

    def __init__(self, data: bytes = b"", error: Exception | None = None) -> None:
        self.data = data
        self.error = error

    async def get(self, ref: pb.MediaRef, *, tenant: str, limit: int) -> bytes:
        assert (ref.key, tenant) == ("t/clip", "t")
        assert limit == MediaLimits().size_bytes
        if self.error:
            raise self.error
        return self.data


class Tokenizer:
    """One id per character."""

    def encode(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        ids = np.array([[ord(character) for character in text]], np.int64)
        return ids, np.ones_like(ids)


def event(topic: Topic, message: Message) -> Event[Message]:
    return Event(topic, message, "", key_of(message.context), "", received_at_us=1)  # type: ignore[attr-defined]


def said(*manifest: pb.Modality, text: str = "") -> Event[Message]:
    ref = pb.MediaRef(bucket="media", key="t/clip")
    utterance = pb.Utterance(context=context(), manifest=manifest, text=text)
    if AUDIO in manifest:
        utterance.audio.CopyFrom(ref)
    if VIDEO in manifest:
        utterance.video.CopyFrom(ref)
    return event(topics.UTTERANCE, utterance)


def only(outputs: Any) -> Any:
    (out,) = outputs
    assert isinstance(out, Output)
    return out


def of_topic(outputs: Any, topic: Topic) -> Any:
    return only([out for out in outputs if out.topic is topic]).message


# --- text -------------------------------------------------------------------------------------------------------------


def text_encoder(triton: Triton | None = None) -> TextEncoder:
    def embed(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        assert inputs["attention_mask"].shape == inputs["input_ids"].shape
        return {"embedding": np.full((1, 384), inputs["input_ids"].shape[1], np.float32)}

    return TextEncoder(triton or Triton(text_encoder=embed), Tokenizer(), "text_encoder")  # type: ignore[arg-type]


async def test_written_words_become_a_vector() -> None:
    found = only(await text_encoder().handle(said(TEXT, text="four")))
    assert found.topic is topics.EMBEDDING_TEXT
    assert found.message.modality == TEXT
    assert vector_of(found.message).tolist() == [4.0] * 384
    assert (found.message.model_name, found.message.model_version) == ("text_encoder", "7")
    assert (found.message.missing, found.message.context) == (pb.MISSING_REASON_UNSPECIFIED, context())
    assert [hop.service for hop in found.message.hops] == ["text_encoder"]


async def test_heard_words_become_the_same_vector_under_the_same_id() -> None:
    encoder = text_encoder()
    heard = event(topics.TRANSCRIPT, pb.Transcript(context=context(), text="four"))
    found = only(await encoder.handle(heard))
    assert vector_of(found.message)[0] == 4
    assert found.id == only(await encoder.handle(said(TEXT, text="four"))).id == encoder.answers(heard)


async def test_an_utterance_without_text_is_for_others() -> None:
    encoder = text_encoder(Triton())
    assert await encoder.handle(said(AUDIO)) == ()
    assert encoder.answers(said(AUDIO)) is None


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (said(TEXT, text=" \n"), pb.MISSING_REASON_EMPTY),
        (event(topics.TRANSCRIPT, pb.Transcript(context=context())), pb.MISSING_REASON_NO_SPEECH),
        (event(topics.TRANSCRIPT, pb.Transcript(context=context(), missing=pb.MISSING_REASON_MEDIA_CORRUPT)),
         pb.MISSING_REASON_MEDIA_CORRUPT),
    ],
)  # fmt: skip
async def test_no_words_are_a_reason_and_cost_no_inference(given: Event[Message], reason: pb.MissingReason) -> None:
    triton = Triton()
    found = only(await text_encoder(triton).handle(given))
    assert (found.message.missing, found.message.vector, found.message.modality) == (reason, b"", TEXT)
    assert triton.asked == []


# --- audio ------------------------------------------------------------------------------------------------------------


def hears(*pieces: tuple[str, float]) -> Triton:
    """A transcriber that gives these words and probabilities of silence, one after another."""
    left = list(pieces)

    def embed(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        assert inputs["mel"].ndim == 3
        return {"embedding": np.ones((1, 256), np.float32)}

    def transcribe(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        assert inputs["mel"].ndim == 2
        text, silence = left.pop(0)
        return {"text": np.array([text.encode()], object), "no_speech": np.array([silence], np.float32)}

    return Triton(audio_encoder=embed, transcriber=transcribe)


def audio_encoder(triton: Triton | None = None, shelf: Shelf | None = None) -> AudioEncoder:
    media = SentMedia(shelf or Shelf(WAV), IN_PROCESS)  # type: ignore[arg-type]
    return AudioEncoder(triton or hears(("hello", 0.1)), media, AudioEncoderSettings())  # type: ignore[arg-type]


class Deletes:
    """A store that remembers what was taken away."""

    media_bucket = "media"

    def __init__(self) -> None:
        self.gone: list[str] = []

    async def delete(self, bucket: str, key: str) -> None:
        self.gone.append(key)


def stored(*manifest: pb.Modality, consent: bool = False) -> Event[Message]:
    """An utterance whose media could be fetched."""
    event = said(*manifest)
    utterance = event.message
    assert isinstance(utterance, pb.Utterance)
    utterance.context.privacy.learning_consent = consent
    for name in ("audio", "video"):
        if utterance.HasField(name):
            getattr(utterance, name).MergeFrom(pb.MediaRef(sha256=bytes(32), size_bytes=4))
    return event


@pytest.mark.parametrize(("encoder", "own", "other"), [(AudioEncoder, AUDIO, VIDEO), (VideoEncoder, VIDEO, AUDIO)])
async def test_once_encoded_a_medium_without_consent_is_taken_away(
    encoder: Any, own: pb.Modality, other: pb.Modality
) -> None:
    store = Deletes()
    one = encoder(None, SentMedia(store, None, disposal=Disposal(store, Retention.parse("standard=30"))), None)
    await one.dispose(stored(own, consent=True))
    await one.dispose(stored(TEXT))
    await one.dispose(stored(other))
    await one.dispose(stored(own, other))
    assert store.gone == [], "kept, not there, the other's, or read by both: then the sweep takes it"
    await one.dispose(stored(own))
    assert store.gone == ["t/clip"]


async def test_sound_becomes_the_encoder_s_embedding() -> None:
    triton = hears()
    found = only(await audio_encoder(triton).handle(said(AUDIO, TEXT, text="as written")))
    assert found.topic is topics.EMBEDDING_AUDIO
    assert vector_of(found.message).tolist() == [1.0] * 256
    assert [model for model, _ in triton.asked] == ["audio_encoder"], "what was written is not transcribed too"


async def test_speech_alone_is_transcribed_too_and_the_transcript_comes_first() -> None:
    given = said(AUDIO)
    found = list(await audio_encoder(hears((" hello there ", 0.1))).handle(given))
    assert [out.topic for out in found] == [topics.TRANSCRIPT, topics.EMBEDDING_AUDIO]
    transcript = of_topic(found, topics.TRANSCRIPT)
    assert (transcript.text, transcript.missing) == ("hello there", pb.MISSING_REASON_UNSPECIFIED)
    assert (transcript.model_name, transcript.model_version) == ("transcriber", "7")
    assert transcript.no_speech_probability == pytest.approx(0.1)
    assert AudioEncoder.answers(given) == found[1].id, "what marks the event as dealt with is published last"


@pytest.mark.parametrize("heard", [("invented words", 0.9), ("   ", 0.0)])
async def test_silence_is_no_words(heard: tuple[str, float]) -> None:
    found = await audio_encoder(hears(heard)).handle(said(AUDIO))
    transcript = of_topic(found, topics.TRANSCRIPT)
    assert (transcript.text, transcript.missing) == ("", pb.MISSING_REASON_NO_SPEECH)
    assert of_topic(found, topics.EMBEDDING_AUDIO).missing == pb.MISSING_REASON_UNSPECIFIED


async def test_long_speech_is_heard_piece_by_piece() -> None:
    long = media_files.sound("wav", "pcm_s16le", seconds=45)
    triton = hears(("one", 0.1), ("noise", 0.95), ("three", 0.3))
    transcript = of_topic(await audio_encoder(triton, Shelf(long)).handle(said(AUDIO)), topics.TRANSCRIPT)
    assert [model for model, _ in triton.asked].count("transcriber") == 3
    assert transcript.text == "one three"
    assert transcript.no_speech_probability == pytest.approx(0.1)


async def test_an_utterance_without_audio_is_for_others() -> None:
    assert await audio_encoder().handle(said(TEXT, VIDEO, text="x")) == ()
    assert AudioEncoder.answers(said(TEXT, text="x")) is None


# --- video ------------------------------------------------------------------------------------------------------------


def sees(face: bool = True) -> Triton:
    def look(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        frames = inputs["frames"]
        assert frames.dtype == np.uint8
        assert frames.shape[1:] == (448, 448, 3)
        count = len(frames)
        box = np.tile(np.array([10, 10, 90, 90, 0.9 if face else 0], np.float32), (count, 1))
        return {
            "face": box, "features": np.ones((count, 256), np.float32), "probs": np.full((count, 7), 1 / 7, np.float32),
        }  # fmt: skip

    return Triton(video_encoder=look)


def video_encoder(triton: Triton | None = None, shelf: Shelf | None = None) -> VideoEncoder:
    media = SentMedia(shelf or Shelf(MP4), IN_PROCESS)  # type: ignore[arg-type]
    return VideoEncoder(triton or sees(), media, VideoEncoderSettings())  # type: ignore[arg-type]


async def test_a_face_becomes_its_mean_and_its_movement() -> None:
    found = only(await video_encoder().handle(said(VIDEO)))
    assert found.topic is topics.EMBEDDING_VIDEO
    vector = vector_of(found.message)
    assert vector.shape == (512,)
    assert vector[:256].tolist() == [1.0] * 256
    assert np.allclose(vector[256:], 0)
    assert found.id == VideoEncoder.answers(said(VIDEO))


async def test_no_face_is_a_reason() -> None:
    found = only(await video_encoder(sees(face=False)).handle(said(VIDEO)))
    assert (found.message.missing, found.message.vector) == (pb.MISSING_REASON_NO_FACE, b"")


async def test_an_utterance_without_video_is_for_others() -> None:
    assert await video_encoder(Triton()).handle(said(AUDIO)) == ()
    assert VideoEncoder.answers(said(AUDIO)) is None


# --- both -------------------------------------------------------------------------------------------------------------

FAULTS = [
    (NotFoundError("x"), pb.MISSING_REASON_MEDIA_NOT_FOUND),
    (RefusedReferenceError("bucket", "another"), pb.MISSING_REASON_MEDIA_REFUSED),
    (MediaError(MediaFault.TOO_LARGE, "x"), pb.MISSING_REASON_MEDIA_TOO_LARGE),
    (None, pb.MISSING_REASON_MEDIA_CORRUPT),
]


@pytest.mark.parametrize(("error", "reason"), FAULTS)
@pytest.mark.parametrize("modality", [AUDIO, VIDEO])
async def test_media_that_cannot_be_had_is_a_reason(
    modality: pb.Modality, error: Exception | None, reason: pb.MissingReason
) -> None:
    shelf = Shelf((WAV if modality == AUDIO else MP4)[:60], error)
    encoder = audio_encoder(shelf=shelf) if modality == AUDIO else video_encoder(shelf=shelf)
    found = await encoder.handle(said(modality))
    topic = topics.EMBEDDING_AUDIO if modality == AUDIO else topics.EMBEDDING_VIDEO
    embedding = of_topic(found, topic)
    assert (embedding.missing, embedding.vector, embedding.modality) == (reason, b"", modality)
    if modality == AUDIO:  # the text's embedding and the screening wait for the words
        assert (of_topic(found, topics.TRANSCRIPT).missing, of_topic(found, topics.TRANSCRIPT).text) == (reason, "")


async def test_a_reference_to_nothing_is_not_asked_for() -> None:
    utterance = pb.Utterance(context=context(), manifest=[VIDEO])
    found = only(await video_encoder().handle(event(topics.UTTERANCE, utterance)))
    assert found.message.missing == pb.MISSING_REASON_MEDIA_NOT_FOUND


@pytest.mark.parametrize("modality", [AUDIO, VIDEO])
async def test_a_store_that_is_away_is_tried_again_by_the_bus(modality: pb.Modality) -> None:
    shelf = Shelf(error=UnavailableError("the store did not answer"))
    encoder = audio_encoder(shelf=shelf) if modality == AUDIO else video_encoder(shelf=shelf)
    with pytest.raises(UnavailableError):
        await encoder.handle(said(modality))


@pytest.mark.parametrize(
    ("encoder", "given", "ids"),
    [
        (text_encoder(), said(TEXT, text=CANARY), [topics.EMBEDDING_TEXT]),
        (text_encoder(), event(topics.TRANSCRIPT, pb.Transcript(context=context(), text=CANARY)),
         [topics.EMBEDDING_TEXT]),
        (audio_encoder(), said(AUDIO), [topics.TRANSCRIPT, topics.EMBEDDING_AUDIO]),
        (audio_encoder(), said(AUDIO, TEXT, text=CANARY), [topics.EMBEDDING_AUDIO]),
        (video_encoder(), said(VIDEO), [topics.EMBEDDING_VIDEO]),
    ],
)  # fmt: skip
async def test_giving_up_says_so_in_every_place_where_somebody_waits(
    encoder: Any, given: Event[Message], ids: list[Topic]
) -> None:
    found = await encoder.give_up(given)
    assert [out.topic for out in found] == ids
    assert all(out.message.missing == pb.MISSING_REASON_MODEL_UNAVAILABLE for out in found)
    assert [out.id for out in found] == [output(topic, given.message).id for topic in ids]
    assert encoder.answers(given) == found[-1].id
