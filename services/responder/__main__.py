from multimood.bus import Worker, WorkerSettings, run_worker
from multimood.generation import Generator, OpenAIGenerator, TritonGenerator
from multimood.generation.openai import endpoint
from multimood.inference import InferenceClient
from multimood.settings import TritonSettings
from services.responder.agent import INPUTS, SERVICE, Responder, Texts, processor
from services.responder.settings import ResponderSettings


def generator_of(own: ResponderSettings) -> Generator:
    """The language model that the settings name."""
    if own.backend == "openai":
        return OpenAIGenerator(endpoint(own.openai_url, own.openai_key.get_secret_value()), own.openai_model)
    return TritonGenerator(InferenceClient(TritonSettings()), own.model)


def make(settings: WorkerSettings) -> Worker:
    """Wire the service."""
    own = ResponderSettings()
    texts = Texts.load(own)
    generator = generator_of(own)
    return Worker(
        SERVICE,
        INPUTS,
        lambda bus: processor(bus, Responder(bus, generator, texts, own), own),
        settings=settings,
        checks={"llm": generator.ready},
        on_stop=(generator.close,),
    )


if __name__ == "__main__":
    run_worker(SERVICE, "Writes the replies.", make, (ResponderSettings, TritonSettings))
