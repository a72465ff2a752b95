from multimood import topics
from multimood.bus import Handler, RetryPolicy, Worker, WorkerSettings, run_worker
from multimood.inference import Contracts, InferenceClient
from multimood.media.apart import Decoders
from multimood.media.limits import MediaLimits
from multimood.perception.sound import sound_contract, transcriber_contract
from multimood.perception.widths import WidthSettings
from multimood.privacy.disposal import Disposal
from multimood.privacy.media import MediaSeals
from multimood.settings import PrivacySettings, PseudonymSettings, StoreSettings, TritonSettings
from multimood.store import Store
from services.audio_encoder.encoder import SERVICE, AudioEncoder
from services.audio_encoder.settings import AudioEncoderSettings


def make(settings: WorkerSettings) -> Worker:
    """Wire the service."""
    own = AudioEncoderSettings()
    s3, privacy = StoreSettings(), PrivacySettings()
    client, store = InferenceClient(TritonSettings()), Store(s3)
    decoders = Decoders(MediaLimits(), own.decoders)
    seals, disposal = MediaSeals.of(store, s3, privacy, PseudonymSettings()), Disposal(store, privacy.retention)
    encoder = AudioEncoder(client, store, own, decoders, seals=seals, disposal=disposal)
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
        checks={"triton": client.ready, "store": store.ready},
        on_stop=(client.close, disposal.close, store.close, decoders.close),
    )


if __name__ == "__main__":
    run_worker(SERVICE, "Embeds the sound of speech; transcribes it when no text came.", make,
               (AudioEncoderSettings, WidthSettings, TritonSettings, StoreSettings, PrivacySettings,
                PseudonymSettings))  # fmt: skip
