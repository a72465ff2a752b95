import logging
from collections.abc import Awaitable, Callable, Sequence

from multimood.bus import Worker, WorkerSettings, run_worker
from multimood.errors import MultimoodError
from multimood.generation import Generator, OpenAIGenerator, TritonGenerator
from multimood.generation.openai import endpoint
from multimood.inference import InferenceClient
from multimood.media.text import TextTokenizer
from multimood.settings import TritonSettings
from multimood.trust import ReplyRules, TrustCase, TrustWeights, reward, score_trust
from multimood.trust.embedding import embedder
from multimood.trust.judges import learned_judges, rule_judges
from services.responder.agent import INPUTS, SERVICE, Responder, Score, Texts, nobody, processor
from services.responder.settings import ResponderSettings

logger = logging.getLogger(__name__)


def generator_of(own: ResponderSettings) -> Generator:
    """The language model that the settings name."""
    if own.backend == "openai":
        return OpenAIGenerator(endpoint(own.openai_url, own.openai_key.get_secret_value()), own.openai_model)
    return TritonGenerator(InferenceClient(TritonSettings()), own.model)


def best_of(own: ResponderSettings, rules: ReplyRules) -> tuple[Score, Sequence[Callable[[], Awaitable[None]]]]:
    """What chooses among candidates, and how its connection is closed; nobody where there is one candidate."""
    if own.candidates == 1:
        return nobody, ()
    triton = InferenceClient(TritonSettings())
    embed = embedder(triton, TextTokenizer(own.tokenizer), own.encoder)
    judges, weights = [*rule_judges(rules), *learned_judges(embed)], TrustWeights.load()

    async def score(case: TrustCase) -> float | None:
        try:
            scores = await score_trust(case, judges)
        except MultimoodError as error:  # no reply is lost by a judge that cannot work
            logger.warning("no score for a candidate", extra={"code": error.code, "cause": str(error)})
            return None
        return reward(scores, crisis_failed=False, weights=weights)

    return score, (triton.close,)


def make(settings: WorkerSettings) -> Worker:
    """Wire the service."""
    own = ResponderSettings()
    texts = Texts.load(own)
    generator = generator_of(own)
    score, close = best_of(own, texts.rules)
    return Worker(
        SERVICE,
        INPUTS,
        lambda bus: processor(bus, Responder(bus, generator, texts, own, score), own),
        settings=settings,
        checks={"llm": generator.ready},
        on_stop=(generator.close, *close),
    )


if __name__ == "__main__":
    run_worker(SERVICE, "Writes the replies.", make, (ResponderSettings, TritonSettings))
