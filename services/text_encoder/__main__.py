from multimood.bus import Worker, WorkerSettings, run_worker
from multimood.inference import Contracts, InferenceClient, Together
from multimood.media.text import TextTokenizer
from multimood.perception.text import text_contract
from multimood.perception.widths import WidthSettings
from multimood.settings import TritonSettings
from services.text_encoder.encoder import INPUTS, SERVICE, TextEncoder, processor
from services.text_encoder.settings import TextEncoderSettings


def make(settings: WorkerSettings) -> Worker:
    """Wire the service."""
    own = TextEncoderSettings()
    client = InferenceClient(TritonSettings())
    encoder = TextEncoder(Together(client), TextTokenizer(own.tokenizer), own.model)
    return Worker(
        SERVICE,
        INPUTS,
        lambda bus: processor(bus, encoder, own),
        settings=settings,
        fits=Contracts(client, text_contract(own, WidthSettings())).fit,
        checks={"triton": client.ready},
        on_stop=(client.close,),
    )


if __name__ == "__main__":
    run_worker(
        SERVICE, "Embeds what was written, or heard.", make, (TextEncoderSettings, WidthSettings, TritonSettings)
    )
