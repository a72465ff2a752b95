"""A clip to a vector of the face's expression over time. No face is a reason, not a zero vector."""

from collections.abc import Sequence

from google.protobuf.message import Message

from multimood import encoding, topics
from multimood.bus import Event, HopClock, Output, output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.inference import InferenceClient
from multimood.media.errors import MediaError
from multimood.perception.picture import picture_question, picture_vector
from multimood.sent_media import SentMedia
from services.video_encoder.settings import VideoEncoderSettings

SERVICE = "video_encoder"


class VideoEncoder:
    """Handles utterances that announce video."""

    def __init__(
        self,
        client: InferenceClient,
        media: SentMedia,
        settings: VideoEncoderSettings,
    ) -> None:
        self._client = client
        self._media = media
        self._settings = settings

    @staticmethod
    def answers(event: Event[Message]) -> str | None:
        """Id of the embedding that this event leads to."""
        assert isinstance(event.message, pb.Utterance)
        return output(topics.EMBEDDING_VIDEO, event.message).id if pb.MODALITY_VIDEO in event.message.manifest else None

    async def handle(self, event: Event[Message]) -> Sequence[Output]:
        """Embed the clip's face."""
        utterance, clock = event.message, HopClock.of(SERVICE, event)
        assert isinstance(utterance, pb.Utterance)
        if pb.MODALITY_VIDEO not in utterance.manifest:
            return ()
        own = self._settings
        try:
            with clock.model():
                data = await self._media.fetch(utterance.context, utterance.video)
            frames = await self._media.decoders.frames(data, fps=own.frames_per_s, most=own.most_frames)
            with clock.model():
                found = await self._client.infer(own.model, picture_question(frames))
        except MediaError as error:
            return (encoding.missing(utterance.context, pb.MODALITY_VIDEO, encoding.reason_of(error), clock.hop()),)
        except encoding.MissingMediaError as error:
            return (encoding.missing(utterance.context, pb.MODALITY_VIDEO, error.reason, clock.hop()),)
        vector = picture_vector(found.outputs)
        if vector is None:
            return (encoding.missing(utterance.context, pb.MODALITY_VIDEO, pb.MISSING_REASON_NO_FACE, clock.hop()),)
        model = (own.model, found.model_version)
        return (encoding.present(utterance.context, pb.MODALITY_VIDEO, vector, model, clock.hop()),)

    async def dispose(self, event: Event[Message]) -> None:
        """The clip is encoded: without consent it is not kept."""
        utterance = event.message
        assert isinstance(utterance, pb.Utterance)
        if pb.MODALITY_VIDEO in utterance.manifest:
            await self._media.dispose(utterance.context, utterance.video, utterance.audio)

    async def give_up(self, event: Event[Message]) -> Sequence[Output]:
        """A dependency did not answer in time: say so, so that the utterance goes on without."""
        clock = HopClock.of(SERVICE, event)
        context = event.message.context  # type: ignore[attr-defined]
        return (encoding.missing(context, pb.MODALITY_VIDEO, pb.MISSING_REASON_MODEL_UNAVAILABLE, clock.hop()),)
