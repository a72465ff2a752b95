import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from multimood import topics
from multimood.bus import Worker, WorkerSettings, run_worker
from multimood.errors import MultimoodError
from multimood.generation import OpenAIGenerator, TritonGenerator
from multimood.generation.openai import endpoint
from multimood.inference import InferenceClient
from multimood.media.text import TextTokenizer
from multimood.rollout.followed import Followed
from multimood.rollout.shipped import REPLIES, shipped
from multimood.settings import TritonSettings
from multimood.trust import ReplyRules, TrustCase, TrustWeights, reward, score_trust
from multimood.trust.embedding import embedder
from multimood.trust.judges import learned_judges, rule_judges
from services.responder.agent import INPUTS, SERVICE, Responder, Score, Texts, nobody, processor
from services.responder.served import Served, ServedByVersion
from services.responder.settings import ResponderSettings

logger = logging.getLogger(__name__)


CHALLENGER: Final = 0.5
"""Of the time for the first word the share that a challenger has; the rest is the champion's."""


def served_of(own: ResponderSettings) -> tuple[Served, Followed | None]:
    """The language model that the settings name, and the rollout that its versions follow, if any does."""
    if own.backend == "openai":
        return Served(
            OpenAIGenerator(endpoint(own.openai_url, own.openai_key.get_secret_value()), own.openai_model)
        ), None
    triton = TritonGenerator(InferenceClient(TritonSettings()), own.model)
    if own.model != REPLIES or own.versions == "highest":
        return Served(triton), None
    followed = Followed(REPLIES, shipped(REPLIES))
    return ServedByVersion(triton, followed, CHALLENGER * own.first_token_s), followed


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
    served, followed = served_of(own)
    score, close = best_of(own, texts.rules)
    return Worker(
        SERVICE,
        INPUTS,
        lambda bus: processor(bus, Responder(bus, served, texts, own, score), own),
        settings=settings,
        follows={} if followed is None else {topics.ROLLOUT: followed.learn},
        checks={"llm": served.generator.ready},
        on_stop=(served.generator.close, *close),
    )


if __name__ == "__main__":
    run_worker(SERVICE, "Writes the replies.", make, (ResponderSettings, TritonSettings))
