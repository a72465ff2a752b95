from multimood import topics
from multimood.bus import Handler, RetryPolicy, Worker, WorkerSettings, run_worker
from multimood.inference import InferenceClient
from multimood.media.text import TextTokenizer
from multimood.settings import TritonSettings
from services.text_encoder.encoder import SERVICE, TextEncoder
from services.text_encoder.settings import TextEncoderSettings


def make(settings: WorkerSettings) -> Worker:
    """Wire the service."""
    own = TextEncoderSettings()
    client = InferenceClient(TritonSettings())
    encoder = TextEncoder(client, TextTokenizer(own.tokenizer), own.model)
    return Worker(
        SERVICE,
        (topics.UTTERANCE, topics.TRANSCRIPT),
        lambda bus: Handler(
            SERVICE,
            bus,
            encoder.handle,
            owns=(topics.TRANSCRIPT,),
            answers=encoder.answers,
            recovers=((topics.EMBEDDING_TEXT, 2_000),),
            on_exhausted=encoder.give_up,
            concurrency=own.concurrency,
            retry=RetryPolicy(budget_s=own.retry_budget_s),
        ),
        settings=settings,
        checks={"triton": client.ready},
        on_stop=(client.close,),
    )


if __name__ == "__main__":
    run_worker(SERVICE, "Embeds what was written, or heard.", make, (TextEncoderSettings, TritonSettings))
