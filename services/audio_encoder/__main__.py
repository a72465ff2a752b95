from multimood import topics
from multimood.bus import Handler, RetryPolicy, Worker, WorkerSettings, run_worker
from multimood.inference import Contracts, InferenceClient
from multimood.perception.sound import sound_contract, transcriber_contract
from multimood.perception.widths import WidthSettings
from multimood.sent_media import SentMedia
from multimood.settings import TritonSettings
from services.audio_encoder.encoder import SERVICE, AudioEncoder
from services.audio_encoder.settings import AudioEncoderSettings


def make(settings: WorkerSettings) -> Worker:
    """Wire the service."""
    own = AudioEncoderSettings()
    client, media = InferenceClient(TritonSettings()), SentMedia.of(own.decoders)
    encoder = AudioEncoder(client, media, own)
    return Worker(
        SERVICE,
        (topics.UTTERANCE,),
        lambda bus: Handler(
            SERVICE,
            bus,
            encoder.handle,
            owns=(),
            answers=encoder.answers,
            recovers=((topics.EMBEDDING_AUDIO, 2_000),),
            on_exhausted=encoder.give_up,
            after=encoder.dispose,
            concurrency=own.concurrency,
            retry=RetryPolicy(budget_s=own.retry_budget_s),
        ),
        settings=settings,
        fits=Contracts(client, sound_contract(own, WidthSettings()), transcriber_contract(own.transcriber)).fit,
        checks={"triton": client.ready, "store": media.ready},
        on_stop=(client.close, media.close),
    )


if __name__ == "__main__":
    run_worker(SERVICE, "Embeds the sound of speech; transcribes it when no text came.", make,
               (AudioEncoderSettings, WidthSettings, TritonSettings, *SentMedia.SETTINGS))  # fmt: skip
