"""The words of a reply, embedded for later: at once, or not at all."""

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from multimood.errors import UnavailableError
from multimood.inference import Inference, InferenceError
from services.strategist.words import Words

pytestmark = pytest.mark.unit


class Tokens:
    def encode(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        return np.full((1, 16), len(text)), np.ones((1, 16), np.int64)


class Encoder:
    def __init__(self, failure: BaseException | None = None, delay_s: float = 0.0) -> None:
        self.failure, self.delay_s = failure, delay_s
        self.asked: list[int] = []

    async def infer(self, model: str, inputs: Mapping[str, Any], deadline_s: float | None = None) -> Inference:
        assert model == "text_encoder"
        assert deadline_s == 0.05
        self.asked.append(int(inputs["input_ids"][0, 0]))
        await asyncio.sleep(self.delay_s)
        if self.failure is not None:
            raise self.failure
        return Inference({"embedding": np.full((1, 384), 0.5, np.float32)}, "1")


def words(encoder: Encoder) -> Words:
    return Words(encoder, Tokens(), "text_encoder", 0.05)  # type: ignore[arg-type]


async def test_a_reply_has_its_vector_in_half_precision() -> None:
    encoder = Encoder()
    found = np.frombuffer(await words(encoder).vector("an answer"), "<f2")
    assert found.tolist() == [0.5] * 384
    assert encoder.asked == [9]


@pytest.mark.parametrize("failure", [UnavailableError("away"), InferenceError("refused")])
async def test_a_model_that_is_away_costs_the_vector_and_nothing_else(failure: Exception) -> None:
    assert await words(Encoder(failure)).vector("an answer") == b""


async def test_nobody_waits_for_a_model_that_hangs() -> None:
    assert await words(Encoder(delay_s=60)).vector("an answer") == b""


async def test_of_no_words_nothing_is_asked() -> None:
    encoder = Encoder()
    assert await words(encoder).vector("  \n") == b""
    assert not encoder.asked
