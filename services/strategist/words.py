"""What a reply says, as the fusion model is told it when the person goes on."""

import asyncio
import logging

from multimood.errors import MultimoodError
from multimood.inference import InferenceClient
from multimood.media.text import TextTokenizer
from multimood.perception.conversation import packed
from multimood.perception.text import text_question, text_vector

logger = logging.getLogger(__name__)


class Words:
    """The text encoder, asked for the vector of a reply: at once or not at all."""

    def __init__(self, client: InferenceClient, tokenizer: TextTokenizer, model: str, limit_s: float) -> None:
        self._client = client
        self._tokenizer = tokenizer
        self._model = model
        self._limit_s = limit_s

    async def vector(self, text: str) -> bytes:
        """The vector as a turn keeps it; empty where there are no words or no answer in time.

        A reply without a vector is still remembered, its strategy too: only its words are unknown to the model.
        """
        if not text.strip():
            return b""
        try:
            async with asyncio.timeout(self._limit_s):
                found = await self._client.infer(
                    self._model, text_question(self._tokenizer, text), deadline_s=self._limit_s
                )
        except (MultimoodError, TimeoutError) as error:
            logger.info("a reply is remembered without its vector", extra={"cause": type(error).__name__})
            return b""
        return packed(text_vector(found.outputs))
