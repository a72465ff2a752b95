"""Speech to a vector of its sound, and to words when the platform sent none."""

import asyncio
from collections.abc import Sequence

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from multimood import encoding, topics
from multimood.bus import Event, HopClock, Output, output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.inference import InferenceClient
from multimood.media import audio
from multimood.media.errors import MediaError
from multimood.perception.sound import sound_question, sound_vector
from multimood.sent_media import SentMedia
from services.audio_encoder.settings import AudioEncoderSettings

SERVICE = "audio_encoder"

Wave = NDArray[np.float32]


class AudioEncoder:
    """Handles utterances that announce audio."""

    def __init__(
        self,
        client: InferenceClient,
        media: SentMedia,
        settings: AudioEncoderSettings,
    ) -> None:
        self._client = client
        self._media = media
        self._settings = settings

    @staticmethod
    def answers(event: Event[Message]) -> str | None:
        """Id of the embedding, which is published after the transcript."""
        assert isinstance(event.message, pb.Utterance)
        return output(topics.EMBEDDING_AUDIO, event.message).id if pb.MODALITY_AUDIO in event.message.manifest else None

    async def handle(self, event: Event[Message]) -> Sequence[Output]:
        """Embed the sound; transcribe it too when there is no text."""
        utterance, clock = event.message, HopClock.of(SERVICE, event)
        assert isinstance(utterance, pb.Utterance)
        if pb.MODALITY_AUDIO not in utterance.manifest:
            return ()
        try:
            with clock.model():
                data = await self._media.fetch(utterance.context, utterance.audio)
            wave = await self._media.decoders.wave(data)
        except MediaError as error:
            return self._missing(utterance, encoding.reason_of(error), clock)
        except encoding.MissingMediaError as error:
            return self._missing(utterance, error.reason, clock)
        if pb.MODALITY_TEXT in utterance.manifest:
            return (await self._embed(utterance, wave, clock),)
        embedding, transcript = await asyncio.gather(
            self._embed(utterance, wave, clock), self._transcribe(utterance, wave, HopClock.of(SERVICE, event))
        )
        return (transcript, embedding)

    async def dispose(self, event: Event[Message]) -> None:
        """The sound is encoded: without consent it is not kept."""
        utterance = event.message
        assert isinstance(utterance, pb.Utterance)
        if pb.MODALITY_AUDIO in utterance.manifest:
            await self._media.dispose(utterance.context, utterance.audio, utterance.video)

    async def give_up(self, event: Event[Message]) -> Sequence[Output]:
        """A dependency did not answer in time: say so, so that the utterance goes on without."""
        assert isinstance(event.message, pb.Utterance)
        return self._missing(event.message, pb.MISSING_REASON_MODEL_UNAVAILABLE, HopClock.of(SERVICE, event))

    @staticmethod
    def _missing(utterance: pb.Utterance, reason: pb.MissingReason, clock: HopClock) -> Sequence[Output]:
        hop = clock.hop()
        embedding = encoding.missing(utterance.context, pb.MODALITY_AUDIO, reason, hop)
        if pb.MODALITY_TEXT in utterance.manifest:
            return (embedding,)
        return (
            output(topics.TRANSCRIPT, pb.Transcript(context=utterance.context, missing=reason, hops=[hop])),
            embedding,
        )

    async def _embed(self, utterance: pb.Utterance, wave: Wave, clock: HopClock) -> Output:
        question = await asyncio.to_thread(sound_question, wave, self._settings.input)
        with clock.model():
            found = await self._client.infer(self._settings.model, question)
        vector = sound_vector(found.outputs)
        model = (self._settings.model, found.model_version)
        return encoding.present(utterance.context, pb.MODALITY_AUDIO, vector, model, clock.hop())

    async def _transcribe(self, utterance: pb.Utterance, wave: Wave, clock: HopClock) -> Output:
        words: list[str] = []
        silence, version = 1.0, ""
        for piece in audio.split_speech(wave):
            mel = await asyncio.to_thread(audio.transcriber_mel, piece)
            with clock.model():
                found = await self._client.infer(self._settings.transcriber, {"mel": mel})
            no_speech = float(found.outputs["no_speech"][0])
            silence, version = min(silence, no_speech), found.model_version
            if no_speech < self._settings.no_speech_threshold:
                words.append(found.outputs["text"][0].decode("utf-8", "replace").strip())
        text = " ".join(word for word in words if word)
        transcript = pb.Transcript(
            context=utterance.context, text=text, no_speech_probability=silence,
            missing=pb.MISSING_REASON_UNSPECIFIED if text else pb.MISSING_REASON_NO_SPEECH,
            model_name=self._settings.transcriber, model_version=version, hops=[clock.hop()],
        )  # fmt: skip
        return output(topics.TRANSCRIPT, transcript)
