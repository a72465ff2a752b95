"""A chat model on the Triton server: decoupled, one response a piece."""

import codecs
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from multimood.errors import UnavailableError
from multimood.generation.ask import Ask, Finish, Piece, Token
from multimood.inference import InferenceClient

MODEL: Final = "responder"
HASH_DIGITS: Final = 12
"""Of the weights' SHA-256, in a reply's model version."""


def _tokens(outputs: Mapping[str, NDArray[Any]]) -> tuple[Token, ...]:
    ids, log_probs = outputs.get("token_ids"), outputs.get("token_log_probs")
    if ids is None or log_probs is None:
        return ()
    return tuple(
        Token(int(identity) if identity >= 0 else None, float(log_prob))
        for identity, log_prob in zip(ids.ravel(), log_probs.ravel(), strict=False)
    )


def _version(version: str, outputs: Mapping[str, NDArray[Any]]) -> str:
    """The version, with the hash of the weights of a model that tells it: a folder's number says not what is in it."""
    told = outputs.get("weights")
    return version if told is None else f"{version}@{told[0].decode()[:HASH_DIGITS]}"


class TritonGenerator:
    """The model `name` on the server.

    messages BYTES [1] (JSON), max_tokens int32 [1], temperature fp32 [1], seed int64 [1] -> a stream of
    text BYTES [1], finish BYTES [1], prompt_tokens int32 [1], completion_tokens int32 [1]. A model that tells its
    tokens takes log_probs BOOL [1], too, and gives token_ids int32 [n] and token_log_probs fp32 [n] of each piece. One
    that gives weights BYTES [1], a SHA-256, has it in its version.
    """

    def __init__(self, client: InferenceClient, name: str = MODEL, version: str = "") -> None:
        """`version`: of the model, where several are served; empty: the latest."""
        self._client = client
        self.name: Final = name
        self._version: Final = version

    def of(self, version: str) -> "TritonGenerator":
        """A version of the same model, by the same connection."""
        return TritonGenerator(self._client, self.name, version)

    async def stream(self, ask: Ask) -> AsyncGenerator[Piece, None]:
        """See `Generator`."""
        messages = json.dumps(ask.chat(), ensure_ascii=False).encode()
        inputs = {
            "messages": np.array([messages], dtype=np.object_),
            "max_tokens": np.array([ask.max_tokens], np.int32),
            "temperature": np.array([ask.temperature], np.float32),
            "seed": np.array([ask.seed], np.int64),
        }
        if ask.log_probs:
            inputs["log_probs"] = np.array([True])
        decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a token may end inside a letter
        stream = self._client.stream(self.name, inputs, deadline_s=ask.within_s, version=self._version)
        async with aclosing(cast("Any", stream)) as answers:
            async for answer in answers:
                outputs = answer.outputs
                finish = cast("Finish", outputs["finish"][0].decode())
                yield Piece(
                    decoder.decode(outputs["text"][0], final=bool(finish)),
                    finish,
                    int(outputs["prompt_tokens"][0]),
                    int(outputs["completion_tokens"][0]),
                    _version(answer.model_version, outputs),
                    _tokens(outputs),
                )
                if finish:
                    return
        raise UnavailableError(f"the stream of {self.name} ended without saying why")

    async def ready(self) -> bool:
        """See `Generator`."""
        return await self._client.ready()

    async def close(self) -> None:
        """See `Generator`."""
        await self._client.close()
