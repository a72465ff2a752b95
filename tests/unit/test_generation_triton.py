"""The Triton backend: what it sends, and what it makes of the stream."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from multimood.errors import UnavailableError
from multimood.generation import Ask, ChatMessage, Piece, Token, TritonGenerator
from multimood.inference import Inference

pytestmark = pytest.mark.unit

ASK = Ask((ChatMessage("user", "caf\u00e9"),), 64, 0.5, 7, 30.0)


class Client:
    """The inference client's stream, scripted: (text, finish) each."""

    def __init__(self, *script: tuple[bytes, bytes]) -> None:
        self.script = script
        self.asked: dict[str, Any] = {}
        self.left_early = False
        self.tokens: dict[str, Any] = {}

    async def stream(
        self, model: str, inputs: dict[str, Any], deadline_s: float, version: str = ""
    ) -> AsyncIterator[Inference]:
        self.asked = {"model": model, "deadline_s": deadline_s, **inputs}
        try:
            for number, (text, finish) in enumerate(self.script):
                outputs = {
                    "text": np.array([text], dtype=np.object_), "finish": np.array([finish], dtype=np.object_),
                    "prompt_tokens": np.array([9], np.int32), "completion_tokens": np.array([number + 1], np.int32),
                }  # fmt: skip
                yield Inference({**outputs, **self.tokens}, "3")
        except GeneratorExit:
            self.left_early = True
            raise


async def pieces_of(client: Client) -> Sequence[Piece]:
    return [piece async for piece in TritonGenerator(client).stream(ASK)]


async def test_a_reply() -> None:
    client = Client((b"I ", b""), (b"hear \xe2\x9d", b""), (b"\xa4", b""), (b"", b"length"))
    pieces = await pieces_of(client)
    assert "".join(piece.text for piece in pieces) == "I hear \u2764", "a letter in two tokens"
    assert [piece.finish for piece in pieces] == ["", "", "", "length"]
    assert pieces[-1] == Piece("", "length", 9, 4, "3")
    asked = client.asked
    assert (asked["model"], asked["deadline_s"]) == ("responder", 30.0)
    assert asked["messages"][0] == '[{"role": "user", "content": "caf\u00e9"}]'.encode()
    assert [(asked[name].dtype.name, asked[name].tolist()) for name in ("max_tokens", "temperature", "seed")] == [
        ("int32", [64]), ("float32", [0.5]), ("int64", [7]),
    ]  # fmt: skip


async def test_a_stream_that_just_stops() -> None:
    with pytest.raises(UnavailableError):
        await pieces_of(Client((b"I ", b"")))


async def test_leaving_early_leaves_the_clients_stream_at_once() -> None:
    client = Client((b"I ", b""), (b"hear ", b""))
    stream = TritonGenerator(client).stream(ASK)
    await anext(stream)
    await stream.aclose()
    assert client.left_early


async def test_tokens_are_told_by_a_model_that_knows_them() -> None:
    client = Client((b"I ", b""), (b"", b"stop"))
    client.tokens = {"token_ids": np.array([40, -1], np.int32), "token_log_probs": np.array([-0.5, -1.0], np.float32)}
    pieces = [piece async for piece in TritonGenerator(client).stream(replace(ASK, log_probs=True))]  # type: ignore[arg-type]
    assert list(pieces[0].tokens) == [Token(40, -0.5), Token(None, -1.0)]
    assert client.asked["log_probs"].tolist() == [True]
    await pieces_of(client)
    assert "log_probs" not in client.asked, "a model of one's own need not know the input"
