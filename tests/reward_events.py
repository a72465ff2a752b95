"""Events of one utterance as the strategist, the responder, the sentinel and a platform publish them; and a store and a
bus that keep what they are given in memory, for tests without servers."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from multimood import topics
from multimood.bus import Bus, Delivery, Output, output
from multimood.bus.acks import OffsetTracker
from multimood.bus.envelope import encode_headers
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnavailableError
from multimood.experience import Pseudonyms
from multimood.experience.record import feedback_row as feedback_of_event
from multimood.experience.record import row_of as record_of_events
from multimood.experience.sources import Found
from multimood.store.errors import ChangedObjectError, MissingObjectError
from multimood.topics import Topic

SAID = "I lost my job on Friday and I cannot sleep."
ANSWER = "That sounds really hard. What has been weighing on you the most?"


class Remembered(Pseudonyms):
    """Pseudonyms that remember whose they are, so that a test can ask."""

    def __init__(self, key: bytes) -> None:
        super().__init__(key)
        self.known: dict[str, str] = {}

    def utterance(self, tenant: str, utterance_id: str) -> str:
        found = super().utterance(tenant, utterance_id)
        self.known[found] = utterance_id
        return found

    def of_row(self, row: Any) -> str:
        """The utterance's id as the platform knows it."""
        return self.known[row["utterance_id"]]


PSEUDONYMS = Remembered(b"a key for tests only")
row_of = partial(record_of_events, pseudonyms=PSEUDONYMS)
feedback_row = partial(feedback_of_event, pseudonyms=PSEUDONYMS)
T0 = 1_790_000_000_000_000
"""Microseconds since the epoch: 2026-09-21, 13:33:20 UTC."""


def context(name: str = "u1", *, consent: bool = True, conversation: str = "c1", tenant: str = "acme") -> pb.Context:
    return pb.Context(
        tenant=tenant, conversation_id=conversation, utterance_id=name, occurred_at_us=T0, locale="en-GB",
        privacy=pb.Privacy(learning_consent=consent, retention_class="short"),
    )  # fmt: skip


def distribution(**values: float) -> list[pb.Probability]:
    return [pb.Probability(label=label.replace("_", " "), p=p) for label, p in values.items()]


def decision(said: pb.Context, **changes: Any) -> pb.Decision:
    fields: dict[str, Any] = {
        "context": said,
        "user_emotion": distribution(sadness=0.7, fear=0.2, neutral=0.1),
        "intensity": 0.625,
        "stage": "exploration",
        "strategy": distribution(open_question=0.5, restatement=0.25, advisement=0.25),
        "chosen": "open question",
        "propensity": 0.5,
        "system_emotion": distribution(neutral=1.0),
        "policy_version": "fusion-1",
        "modality_emotions": [pb.ModalityEmotion(modality=pb.MODALITY_TEXT, emotion=distribution(sadness=1.0))],
        "dialogue": [
            pb.Turn(role=pb.ROLE_SYSTEM, text="Hello.", utterance_id="u0", label="others"),
            pb.Turn(role=pb.ROLE_USER, text=SAID, utterance_id=said.utterance_id, label="sadness"),
        ],
        "missing": [pb.MissingModality(modality=pb.MODALITY_VIDEO, reason=pb.MISSING_REASON_NO_FACE)],
        "manifest": [pb.MODALITY_TEXT, pb.MODALITY_VIDEO],
        "screening": pb.Screening(context=said, level=pb.RISK_LEVEL_NONE, score=0.125, version="s-1"),
        "models": [pb.ModelVersion(name="fusion", version="1")],
        "hops": [pb.Hop(service="strategist", received_at_us=T0 + 1000, produced_at_us=T0 + 3000, model_us=500)],
        "step": 3,
    }
    return pb.Decision(**{**fields, **changes})


def reply(said: pb.Context, **changes: Any) -> pb.Reply:
    fields: dict[str, Any] = {
        "context": said,
        "text": ANSWER,
        "source": pb.REPLY_SOURCE_GENERATED,
        "model_name": "responder",
        "model_version": "1",
        "prompt_version": "prompt-1",
        "prompt_sha256": hashlib.sha256(b"prompt").digest(),
        "prompt_tokens": 120,
        "completion_tokens": 14,
        "strategy": "open question",
        "hops": [pb.Hop(service="responder", received_at_us=T0 + 4000, produced_at_us=T0 + 9000, model_us=4000)],
        "first_token_us": 2100,
    }
    return pb.Reply(**{**fields, **changes})


def vetted(said: pb.Context) -> pb.Reply:
    """The sentinel's."""
    hop = pb.Hop(service="sentinel", received_at_us=T0, produced_at_us=T0 + 900)
    return pb.Reply(
        context=said, text="Please reach out to someone now.", source=pb.REPLY_SOURCE_VETTED_CRISIS, reason="crisis",
        vetted_id="en.elevated", hops=[hop],
    )  # fmt: skip


def trust(said: pb.Context, **changes: Any) -> pb.TrustScore:
    fields: dict[str, Any] = {
        "context": said,
        "scores": [
            pb.CriterionScore(criterion="safety", score=9.5, judge="safety-rules", judge_version="r-1"),
            pb.CriterionScore(criterion="empathy"),
        ],
        "reward": 0.75,
        "reward_version": "reward-1+w",
        "hops": [pb.Hop(service="reward", received_at_us=T0 + 9500, produced_at_us=T0 + 9900, model_us=300)],
    }
    return pb.TrustScore(**{**fields, **changes})


@dataclass
class MemoryStore:
    """Objects in a dictionary, with conditional writes; as slow and as broken as a test wants it."""

    objects: dict[str, bytes] = field(default_factory=dict)
    down: bool = False
    writes: list[str] = field(default_factory=list)
    slow: int = 0
    """Rounds of the event loop that a call takes before it has an effect."""

    async def read_version(self, bucket: str, key: str, *, limit: int) -> tuple[bytes, str]:
        await self._call()
        if key not in self.objects:
            raise MissingObjectError("no_such_object", "nothing")
        return self.objects[key], self._tag(key)

    async def put_version(self, bucket: str, key: str, data: bytes, media_type: str, *, replaces: str) -> None:
        await self._call()
        if self._tag(key) != replaces:
            raise ChangedObjectError
        self.objects[key] = data
        self.writes.append(key)

    async def put(self, bucket: str, key: str, data: bytes, media_type: str) -> None:
        await self._call()
        self.objects[key] = data

    async def _call(self) -> None:
        for _ in range(self.slow):
            await asyncio.sleep(0)
        if self.down:
            raise UnavailableError("down")

    def _tag(self, key: str) -> str:
        return hashlib.sha256(self.objects[key]).hexdigest() if key in self.objects else ""


@dataclass
class MemorySource:
    """The same, as the reader's source."""

    kept: dict[str, bytes]

    def objects(self) -> Sequence[Found]:
        return [Found(key, len(data)) for key, data in sorted(self.kept.items()) if key.endswith(".parquet")]

    def read(self, name: str) -> bytes:
        return self.kept[name]


@dataclass(frozen=True)
class Record:
    """A Kafka record as a worker sees it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]


def record(topic: Topic, message: Any, offset: int, *, partition: int = 0, timestamp_ms: int = T0 // 1000) -> Record:
    out = output(topic, message)
    return Record(
        topic.name, partition, offset, timestamp_ms, out.key, message.SerializeToString(), encode_headers(out, "test")
    )


def delivery(topic: Topic, message: Any, offset: int = 0, tracker: OffsetTracker | None = None) -> Delivery:
    if tracker is None:
        tracker = OffsetTracker(offset)
    tracker.open(offset)
    return Delivery(topic, record(topic, message, offset), tracker, T0)


@dataclass
class MemoryBus:
    """What a processor said, in order."""

    published: list[Output] = field(default_factory=list)
    dead: list[Delivery] = field(default_factory=list)

    @property
    def bus(self) -> Bus:
        return Bus(self._emit, self._dead_letter)

    @property
    def scores(self) -> list[pb.TrustScore]:
        return [out.message for out in self.published if out.topic is topics.TRUST]  # type: ignore[misc]

    async def _emit(self, outputs: Sequence[Output], _traceparent: str) -> None:
        await asyncio.sleep(0)
        self.published.extend(outputs)

    async def _dead_letter(self, one: Delivery, _error: BaseException, _attempts: int) -> None:
        self.dead.append(one)
