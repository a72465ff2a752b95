"""Words to a vector: what is written in the utterance, or was heard in it."""

from collections.abc import Sequence

from google.protobuf.message import Message

from multimood import encoding, topics
from multimood.bus import Bus, Event, Handler, HopClock, Output, RetryPolicy, output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.inference import Together
from multimood.media.text import TextTokenizer
from multimood.perception.text import text_question, text_vector
from services.text_encoder.settings import TextEncoderSettings

SERVICE = "text_encoder"
INPUTS = (topics.UTTERANCE, topics.TRANSCRIPT)


class TextEncoder:
    """Handles utterances that announce text, and transcripts of those that came as speech only."""

    def __init__(self, client: Together, tokenizer: TextTokenizer, model: str) -> None:
        self._client = client
        self._tokenizer = tokenizer
        self._model = model

    @staticmethod
    def answers(event: Event[Message]) -> str | None:
        """Id of the embedding that this event leads to; None when it leads to none."""
        message = event.message
        if isinstance(message, pb.Utterance) and pb.MODALITY_TEXT not in message.manifest:
            return None
        return output(topics.EMBEDDING_TEXT, message).id

    async def handle(self, event: Event[Message]) -> Sequence[Output]:
        """Embed the event's words; nothing for an utterance whose words come as a transcript."""
        message, clock = event.message, HopClock.of(SERVICE, event)
        if isinstance(message, pb.Utterance):
            if pb.MODALITY_TEXT not in message.manifest:
                return ()
            reason = pb.MISSING_REASON_EMPTY
        else:
            assert isinstance(message, pb.Transcript)
            reason = message.missing or pb.MISSING_REASON_NO_SPEECH
        if not message.text.strip():
            return (encoding.missing(message.context, pb.MODALITY_TEXT, reason, clock.hop()),)
        question = text_question(self._tokenizer, message.text)
        with clock.model():
            found = await self._client.infer(self._model, question)
        vector = text_vector(found.outputs)
        model = (self._model, found.model_version)
        return (encoding.present(message.context, pb.MODALITY_TEXT, vector, model, clock.hop()),)

    async def give_up(self, event: Event[Message]) -> Sequence[Output]:
        """The model did not answer in time: say so, so that the utterance goes on without."""
        clock = HopClock.of(SERVICE, event)
        context = event.message.context  # type: ignore[attr-defined]
        return (encoding.missing(context, pb.MODALITY_TEXT, pb.MISSING_REASON_MODEL_UNAVAILABLE, clock.hop()),)


def processor(bus: Bus, encoder: TextEncoder, settings: TextEncoderSettings) -> Handler:
    """The text encoder's processor."""
    return Handler(
        SERVICE,
        bus,
        encoder.handle,
        owns=(topics.TRANSCRIPT,),
        answers=encoder.answers,
        recovers=((topics.EMBEDDING_TEXT, 2_000),),
        on_exhausted=encoder.give_up,
        concurrency=settings.concurrency,
        retry=RetryPolicy(budget_s=settings.retry_budget_s),
    )
