"""A strategist without servers: its records, a fusion model that is a formula, and a log that outlives it."""

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from multimood import topics
from multimood.bus import Bus, Delivery, Output
from multimood.bus.acks import OffsetTracker
from multimood.bus.envelope import decode, encode_headers, output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnavailableError
from multimood.inference import Inference
from multimood.perception.conversation import packed
from multimood.safety import CrisisPolicy
from multimood.taxonomy import EMOTIONS
from multimood.topics import Topic, key_of
from services.strategist.agent import INPUTS, RECOVERS, Strategist, processor
from services.strategist.decision import Policy
from services.strategist.exploration import Exploration
from services.strategist.settings import StrategistSettings

CRISIS = CrisisPolicy.load()
POLICY = Policy("mesc", Exploration("epsilon", 0.1), "fusion", "ab" * 32)
WIDTH = {pb.MODALITY_TEXT: 384, pb.MODALITY_AUDIO: 256, pb.MODALITY_VIDEO: 512}
SIZES = {"emotion": 8, "stage": 3, "system_emotion": 8, "strategy_mesc": 10, "strategy_esconv": 8}


def context(utterance: str = "u0", conversation: str = "c", tenant: str = "t") -> pb.Context:
    return pb.Context(
        tenant=tenant, conversation_id=conversation, utterance_id=utterance, privacy=pb.Privacy(learning_consent=True)
    )


def embedding(modality: pb.Modality, value: float = 0.1, width: int | None = None) -> pb.Embedding:
    vector = np.full(WIDTH[modality] if width is None else width, value, np.float32)
    name = f"{pb.Modality.Name(modality).removeprefix('MODALITY_').lower()}_encoder"
    return pb.Embedding(
        modality=modality, vector=vector.tobytes(), shape=vector.shape, model_name=name, model_version="7"
    )


def features(
    utterance: str = "u0",
    text: str = "words",
    *modalities: pb.Modality,
    conversation: str = "c",
    level: pb.RiskLevel | None = pb.RISK_LEVEL_NONE,
) -> pb.Features:
    made = pb.Features(
        context=context(utterance, conversation), manifest=modalities or [pb.MODALITY_TEXT], text=text,
        has_language=True, embeddings=[embedding(one) for one in modalities or [pb.MODALITY_TEXT]],
        hops=[pb.Hop(service="joiner")],
    )  # fmt: skip
    if level is not None:
        made.screening.CopyFrom(pb.Screening(context=made.context, level=level))
    return made


def reply(utterance: str = "u0", text: str = "an answer", conversation: str = "c") -> pb.Reply:
    return pb.Reply(context=context(utterance, conversation), text=text, strategy="restatement")


class Fusion:
    """Answers by a formula of everything it is asked, so that equal answers mean equal questions."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, NDArray[Any]]] = []
        self.failure: BaseException | None = None
        self.delay_s = 0.0
        self.change: Mapping[str, NDArray[Any]] = {}

    async def infer(self, model: str, inputs: Mapping[str, NDArray[Any]], deadline_s: float | None = None) -> Inference:
        """See InferenceClient."""
        assert model == "fusion"
        assert deadline_s is not None
        self.asked.append(dict(inputs))
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.failure is not None:
            raise self.failure
        digest = hashlib.sha256(b"".join(inputs[name].tobytes() for name in sorted(inputs))).digest()
        chance = np.random.default_rng(int.from_bytes(digest[:8]))
        outputs = {name: chance.dirichlet(np.ones(size))[None].astype(np.float32) for name, size in SIZES.items()}
        outputs["modality_emotion"] = chance.dirichlet(np.ones(len(EMOTIONS)), 3)[None].astype(np.float32)
        outputs["intensity"] = chance.random((1, 1)).astype(np.float32)
        return Inference({**outputs, **self.change}, "3")


class Spoken:
    """The text encoder as the strategist asks it: a vector that is a formula of the words."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.is_silent = False

    async def vector(self, text: str) -> bytes:
        """See Words."""
        self.asked.append(text)
        return b"" if self.is_silent else packed(vector_of(text))


def vector_of(text: str) -> NDArray[np.float32]:
    """Of length 1."""
    vector = np.random.default_rng(len(text)).standard_normal(WIDTH[pb.MODALITY_TEXT]).astype(np.float32)
    return vector / np.linalg.norm(vector)


@dataclass
class Log:
    """What is durable: records by topic, in order."""

    records: list[tuple[Topic, bytes, Any]] = field(default_factory=list)

    def of(self, topic: Topic) -> list[Any]:
        """Messages of a topic, oldest first."""
        return [topic.message.FromString(record.value) for at, _, record in self.records if at is topic]

    def compact(self) -> None:
        """Keep the newest state of every conversation, as the broker does sooner or later."""
        newest = {key: number for number, (at, key, _) in enumerate(self.records) if at is topics.CONVERSATION}
        self.records = [
            entry for number, entry in enumerate(self.records)
            if entry[0] is not topics.CONVERSATION or newest[entry[1]] == number
        ]  # fmt: skip


def record_of(out: Output, offset: int = 0) -> Any:
    value, headers = out.message.SerializeToString(), encode_headers(out, "test")
    return SimpleNamespace(
        value=value, headers=headers, key=out.key, offset=offset, topic=out.topic.name, partition=0, timestamp=0
    )


class Life:
    """A worker from its start to its end; dies before its output number `dies_before`, if it comes to that."""

    def __init__(
        self, log: Log, fusion: Fusion, settings: StrategistSettings | None = None, dies_before: int = -1,
        *, policy: Policy = POLICY, spoken: Spoken | None = None,
    ) -> None:  # fmt: skip
        self.log, self.fusion = log, fusion
        self.dead = False
        self.fails_before: set[int] = set()
        """Outputs, by number, that cannot be sent at the first attempt."""
        self._attempts = 0
        self.letters: list[tuple[Any, str]] = []
        self._left = dies_before
        self._offset = 0
        settings = settings or StrategistSettings(retry_budget_s=0.0, vetted_inference_s=0.05)
        self.strategist = Strategist(fusion, spoken or Spoken(), policy, settings, crisis=CRISIS)  # type: ignore[arg-type]
        self.handler: Any = processor(Bus(self._emit, self._dead_letter), self.strategist, settings)
        for topic, _ in RECOVERS:
            for at, _, record in list(log.records):
                if at is topic:
                    self.handler.recover(topic, decode(topic, record.value, record.headers, record.key, 0))

    async def take(self, message: Message) -> bool:
        """Give it one record and wait; tells whether it was acknowledged."""
        topic = next(topic for topic in INPUTS if isinstance(message, topic.message))
        self._offset += 1
        tracker = OffsetTracker(self._offset)
        tracker.open(self._offset)
        record = record_of(output(topic, message), self._offset)
        await self.handler.process([Delivery(topic, record, tracker, time.time_ns() // 1000)])
        while self.handler.held and not self.dead:  # noqa: ASYNC110 - the bus tells nobody
            await asyncio.sleep(0)
        if self.dead:
            await self.handler.drain(0)
        return tracker.head is None

    async def _emit(self, outputs: Sequence[Output], _traceparent: str) -> None:
        for out in outputs:
            if self._left == 0:
                self.dead = True
                await asyncio.Event().wait()
            self._left -= 1
            await asyncio.sleep(0)
            self._attempts += 1
            if self._attempts - 1 in self.fails_before:
                raise UnavailableError("not now")
            self.log.records.append((out.topic, key_of(out.message.context), record_of(out)))  # type: ignore[attr-defined]

    async def _dead_letter(self, delivery: Delivery, error: BaseException, _attempts: int) -> None:
        self.letters.append((delivery.record, type(error).__name__))
