"""The services of a conversation in words, for a topology: all theirs but the models."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import numpy as np
from strategist_world import CRISIS, POLICY, Fusion, Spoken
from topology import Service

from multimood.bus import Bus, Processor
from multimood.clock import loop_time
from multimood.contracts.v1 import events_pb2 as pb
from multimood.generation import Ask, Piece
from multimood.inference import Inference
from multimood.safety import PersonJudge, Screener, VettedReplies
from services.joiner import agent as joiner_agent
from services.joiner.settings import JoinerSettings
from services.responder import agent as responder_agent
from services.responder.served import Served
from services.responder.settings import ResponderSettings
from services.sentinel import agent as sentinel_agent
from services.sentinel.answer import Approved
from services.sentinel.settings import SentinelSettings
from services.strategist import agent as strategist_agent
from services.strategist.settings import StrategistSettings
from services.text_encoder import encoder as text_encoder_agent
from services.text_encoder.settings import TextEncoderSettings

TEXTS = responder_agent.Texts.load(ResponderSettings())
SCREENER, JUDGE = Screener.load(), PersonJudge.load()
APPROVED = Approved(VettedReplies.load(), CRISIS)


def said(name: str, conversation: str = "c", text: str = "it rained all day") -> pb.Utterance:
    """Something typed."""
    context = pb.Context(tenant="t", conversation_id=conversation, utterance_id=name)
    return pb.Utterance(context=context, manifest=[pb.MODALITY_TEXT], text=text)


class Embedder:
    """A text model: a vector that is a formula of the words; may take time, and fails on some words."""

    def __init__(self, takes_s: float = 0.01) -> None:
        self.takes_s = takes_s
        self.failures: dict[str, BaseException] = {}
        """What is raised for a text that contains a word; "" is in all."""
        self.asked: list[tuple[float, str]] = []
        """When it was asked, by the loop's clock, and what."""

    def encode(self, text: str) -> tuple[Any, Any]:
        """See TextTokenizer."""
        ids = np.frombuffer(text.encode(), np.uint8).astype(np.int64)[None]
        return ids, np.ones_like(ids)

    async def infer(self, _model: str, inputs: Mapping[str, Any], deadline_s: float | None = None) -> Inference:
        """See InferenceClient."""
        del deadline_s
        text = inputs["input_ids"].astype(np.uint8).tobytes()
        self.asked.append((loop_time(), text.decode()))
        await asyncio.sleep(self.takes_s)
        for word, failure in self.failures.items():
            if word.encode() in text:
                raise failure
        seed = int.from_bytes(hashlib.sha256(text).digest()[:8])
        return Inference({"embedding": np.random.default_rng(seed).random((1, 384), np.float32)}, "1")


class Writer:
    """A language model that says the same to all, piece by piece; it never answers what ends with some words."""

    name = "writer"
    WORDS = ("I hear ", "you, ", "and I stay.")

    def __init__(self, word_s: float = 0.05, silent_on: str = "\0") -> None:
        self.word_s = word_s
        self.silent_on = silent_on

    async def stream(self, ask: Ask) -> AsyncGenerator[Piece, None]:
        """See Generator."""
        if ask.messages[-1].content.endswith(self.silent_on):
            await asyncio.Event().wait()
        for count, word in enumerate(self.WORDS, 1):
            await asyncio.sleep(self.word_s)
            yield Piece(word, "", 20, count, "1")
        yield Piece("", "stop", 20, len(self.WORDS), "1")

    async def ready(self) -> bool:
        """See Generator."""
        return True

    async def close(self) -> None:
        """See Generator."""


def text_encoder(model: Embedder, **settings: Any) -> Service:
    """Words to vectors."""
    own = TextEncoderSettings(**settings)
    core = text_encoder_agent.TextEncoder(model, model, own.model)  # type: ignore[arg-type]
    return Service("text_encoder", text_encoder_agent.INPUTS, lambda bus: text_encoder_agent.processor(bus, core, own))


def sentinel() -> Service:
    """The real rules."""
    own = SentinelSettings()
    return Service(
        "sentinel", sentinel_agent.INPUTS, lambda bus: sentinel_agent.processor(bus, SCREENER, APPROVED, own, JUDGE)
    )


def joiner(**settings: Any) -> Service:
    """Parts to features."""
    own = JoinerSettings(**settings)
    return Service("joiner", joiner_agent.INPUTS, lambda bus: joiner_agent.processor(bus, own))


def strategist(model: Fusion, **settings: Any) -> Service:
    """Features to decisions."""
    own = StrategistSettings(**settings)

    def build(bus: Bus) -> Processor:
        one = strategist_agent.Strategist(model, Spoken(), POLICY, own, crisis=CRISIS)  # type: ignore[arg-type]
        return strategist_agent.processor(bus, one, own)

    return Service("strategist", strategist_agent.INPUTS, build)


def responder(model: Writer, **settings: Any) -> Service:
    """Decisions to replies."""
    own = ResponderSettings(**settings)
    return Service(
        "responder",
        responder_agent.INPUTS,
        lambda bus: responder_agent.processor(bus, responder_agent.Responder(bus, Served(model), TEXTS, own), own),
    )
