from multimood import topics
from multimood.bus import Handler, RetryPolicy, Worker, WorkerSettings, run_worker
from multimood.inference import Contracts, InferenceClient
from multimood.perception.picture import picture_contract
from multimood.perception.widths import WidthSettings
from multimood.sent_media import SentMedia
from multimood.settings import TritonSettings
from services.video_encoder.encoder import SERVICE, VideoEncoder
from services.video_encoder.settings import VideoEncoderSettings


def make(settings: WorkerSettings) -> Worker:
    """Wire the service."""
    own = VideoEncoderSettings()
    client, media = InferenceClient(TritonSettings()), SentMedia.of(own.decoders)
    encoder = VideoEncoder(client, media, own)
    return Worker(
        SERVICE,
        (topics.UTTERANCE,),
        lambda bus: Handler(
            SERVICE,
            bus,
            encoder.handle,
            owns=(),
            answers=encoder.answers,
            recovers=((topics.EMBEDDING_VIDEO, 2_000),),
            on_exhausted=encoder.give_up,
            after=encoder.dispose,
            concurrency=own.concurrency,
            retry=RetryPolicy(budget_s=own.retry_budget_s),
        ),
        settings=settings,
        fits=Contracts(client, picture_contract(own, WidthSettings())).fit,
        checks={"triton": client.ready, "store": media.ready},
        on_stop=(client.close, media.close),
    )


if __name__ == "__main__":
    run_worker(SERVICE, "Embeds the expression of the face in a clip.", make,
               (VideoEncoderSettings, WidthSettings, TritonSettings, *SentMedia.SETTINGS))  # fmt: skip
