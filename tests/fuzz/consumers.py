"""What each service makes of a hostile record: its own processor with its dependencies played.

The oracle: a record ends acknowledged, with outputs that everyone else can read, or with a dead letter whose error is
one of ours. An exception that leaves the processor would end the worker, again and again; one that is not of our
family is nobody's decision.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from fuzz.hostile import Case
from fuzz.outcome import FindingError, is_ours
from media_files import InProcess
from reward_events import PSEUDONYMS, MemoryStore
from strategist_world import CRISIS, POLICY, Fusion, Spoken

from multimood import topics
from multimood.bus import Bus, Delivery, Handler, Output, RetryPolicy
from multimood.bus.acks import OffsetTracker
from multimood.bus.delivery import Processor
from multimood.bus.envelope import decode, encode_headers
from multimood.bus.letters import Letter, dead_letter_headers, envelope_headers, is_receipt
from multimood.bus.retry import code_of
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import InvalidEventError, NotFoundError, UnavailableError, UnsendableError
from multimood.experience.table import EXPERIENCE_TABLE, FEEDBACK_TABLE
from multimood.experience.writer import LogWriter
from multimood.generation import Ask, Piece
from multimood.inference import Inference
from multimood.media.limits import MediaLimits
from multimood.perception.state import STATE, STRATEGIES, State, names_of
from multimood.rollout.standing import Version
from multimood.safety import PersonJudge, Screener, VettedReplies
from multimood.sent_media import SentMedia
from multimood.store.reference import check_reference
from multimood.topics import Topic
from multimood.trust import PrivacyJudge, ReplyRules, SafetyJudge, TrustWeights
from services.audio_encoder.encoder import AudioEncoder
from services.audio_encoder.settings import AudioEncoderSettings
from services.gateway.narration import Narration
from services.gateway.outcomes import Outcomes
from services.gateway.turn import Key
from services.joiner.agent import processor as joiner_processor
from services.joiner.settings import JoinerSettings
from services.responder.agent import Responder, Texts
from services.responder.agent import processor as responder_processor
from services.responder.served import Served
from services.responder.settings import ResponderSettings
from services.reward.agent import Reward, RewardProcessor
from services.reward.feedback import FeedbackLog
from services.reward.memory import Memory
from services.reward.scoring import Scorer
from services.reward.settings import RewardSettings
from services.sentinel.agent import processor as sentinel_processor
from services.sentinel.answer import Approved
from services.sentinel.settings import SentinelSettings
from services.strategist.agent import Strategist
from services.strategist.agent import processor as strategist_processor
from services.strategist.served import ServedPolicy
from services.strategist.settings import StrategistSettings
from services.text_encoder.encoder import TextEncoder
from services.video_encoder.encoder import VideoEncoder
from services.video_encoder.settings import VideoEncoderSettings

STUCK_S = 8.0
RECEIVED_AT_US = 1_790_000_000_000_000

Sent = tuple[Topic, Any]
"""A topic and a record of it."""


@dataclass
class Wire:
    """The bus around a processor: refuses what the broker would, reads what others would read."""

    outputs: list[Output] = field(default_factory=list)
    letters: list[BaseException] = field(default_factory=list)
    crashes: list[BaseException] = field(default_factory=list)

    @property
    def bus(self) -> Bus:
        return Bus(self._emit, self._dead_letter, self.crashes.append)

    async def _emit(self, outputs: Sequence[Output], traceparent: str) -> None:
        for out in outputs:
            value, headers = out.message.SerializeToString(), encode_headers(out, "fuzz", traceparent)
            if len(value) > out.topic.max_message_bytes:
                raise UnsendableError(f"{len(value)} bytes")
            decode(out.topic, value, headers, out.key, RECEIVED_AT_US)
            self.outputs.append(out)
        await asyncio.sleep(0)

    async def _dead_letter(self, delivery: Delivery, error: BaseException, attempts: int) -> None:
        record, fault = delivery.record, {"reason": code_of(error), "attempts": str(attempts)}
        dead_letter_headers(record.headers, fault)
        envelope_headers(record.headers, fault, record.value)
        self.letters.append(error)


async def through(processor: Processor, wire: Wire, *given: Sent, before: Sequence[Sent] = ()) -> str:
    """Let a processor read `before` back and take `given`; say how it ended. Raises FindingError."""
    for topic, record in before:
        try:
            event = decode(topic, record.value, record.headers, record.key, RECEIVED_AT_US)
        except InvalidEventError:
            continue
        processor.recover(topic, event)  # what it raises would end the worker at every start
    trackers = []
    for number, (topic, record) in enumerate(given):
        tracker = OffsetTracker(number)
        tracker.open(number, len(record.value or b""))
        trackers.append(tracker)
        moved = _at(record, number)
        await processor.process([Delivery(topic, moved, tracker, RECEIVED_AT_US)])
    ends = time.monotonic() + STUCK_S
    while any(tracker.head is not None for tracker in trackers) and not wire.crashes:
        if time.monotonic() > ends:
            raise FindingError("a record is never acknowledged")
        await asyncio.sleep(0.0005)
    await processor.drain(1.0)
    if wire.crashes:
        raise wire.crashes[0]
    for error in wire.letters:
        if not is_ours(error):
            raise error
    if wire.letters:
        return f"dead letter: {code_of(wire.letters[0])}"
    return "published" if wire.outputs else "nothing to say"


def _at(record: Any, offset: int) -> Any:
    moved = type(record)(**vars(record))
    moved.offset = offset
    return moved


# --- what the services depend on -----------------------------------------------------------------------------------


class Tokens:
    """Stands for the tokenizer."""

    def encode(self, text: str) -> tuple[Any, Any]:
        ids = np.zeros((1, 16), np.int64)
        return ids, ids + len(text[:1])


class Embeds:
    """Stands for Triton."""

    async def infer(self, model: str, inputs: Mapping[str, Any], deadline_s: float | None = None) -> Inference:
        return Inference({"embedding": np.zeros((1, 384), np.float32)}, "1")


class Shelf:
    """A store that checks references as the real one does, and has nothing of what they name."""

    async def get(self, ref: pb.MediaRef, *, tenant: str, limit: int) -> bytes:
        check_reference(ref, tenant=tenant, limit=limit, buckets=("media",))
        raise NotFoundError("no such object")


class Writes:
    """A language model that always says the same."""

    name = "fuzz"

    async def stream(self, ask: Ask) -> AsyncGenerator[Piece, None]:
        ask.sha256()
        yield Piece("That sounds hard. ", "", 9, 4, "1")
        yield Piece("What weighs on you?", "stop", 9, 9, "1")

    async def ready(self) -> bool:
        return True

    async def close(self) -> None:
        pass


@cache
def screener() -> Screener:
    return Screener.load()


@cache
def vetted() -> VettedReplies:
    return VettedReplies.load()


@cache
def person_judge() -> PersonJudge:
    return PersonJudge.load()


@cache
def texts() -> Texts:
    return Texts.load(ResponderSettings())


@cache
def scorer() -> Scorer:
    rules = ReplyRules.load()
    return Scorer((SafetyJudge(screener(), rules), PrivacyJudge(rules)), TrustWeights.load(), rules, concurrency=16)


NOW = RetryPolicy(budget_s=0.0)


# --- the services --------------------------------------------------------------------------------------------------


async def text_encoder(case: Case) -> str:
    wire, encoder = Wire(), TextEncoder(Embeds(), Tokens(), "text_encoder")  # type: ignore[arg-type]
    handler = Handler(
        "text_encoder", wire.bus, encoder.handle, owns=(topics.TRANSCRIPT,), answers=encoder.answers,
        recovers=((topics.EMBEDDING_TEXT, 2_000),), on_exhausted=encoder.give_up, retry=NOW,
    )  # fmt: skip
    return await _read_back_or_taken(case, handler, wire, topics.EMBEDDING_TEXT, topics.UTTERANCE)


async def audio_encoder(case: Case) -> str:
    encoder: Any = AudioEncoder(Embeds(), SentMedia(Shelf(), InProcess(MediaLimits())), AudioEncoderSettings())  # type: ignore[arg-type]
    return await _medium(case, encoder, topics.EMBEDDING_AUDIO)


async def video_encoder(case: Case) -> str:
    encoder: Any = VideoEncoder(Embeds(), SentMedia(Shelf(), InProcess(MediaLimits())), VideoEncoderSettings())  # type: ignore[arg-type]
    return await _medium(case, encoder, topics.EMBEDDING_VIDEO)


async def _medium(case: Case, encoder: Any, embedding: Topic) -> str:
    wire = Wire()
    handler = Handler(
        "encoder", wire.bus, encoder.handle, owns=(), answers=encoder.answers, recovers=((embedding, 2_000),),
        on_exhausted=encoder.give_up, retry=NOW,
    )  # fmt: skip
    return await _read_back_or_taken(case, handler, wire, embedding, topics.UTTERANCE)


async def _read_back_or_taken(case: Case, processor: Processor, wire: Wire, read_back: Topic, honest: Topic) -> str:
    if case.topic is read_back:
        return await through(processor, wire, (honest, case.honest(honest)), before=((case.topic, case.record),))
    return await through(processor, wire, (case.topic, case.record))


async def joiner(case: Case) -> str:
    """The hostile record among the honest rest of its utterance, in any order."""
    wire, settings = Wire(), JoinerSettings(deadline_s=0.003, orphan_s=0.003)
    processor = joiner_processor(wire.bus, settings)
    if case.topic is topics.FEATURES:
        utterance = (topics.UTTERANCE, case.honest(topics.UTTERANCE))
        return await through(processor, wire, utterance, before=((case.topic, case.record),))
    parts = (topics.UTTERANCE, topics.SCREENING, topics.TRANSCRIPT, *topics.EMBEDDINGS)
    given = [(topic, case.honest(topic)) for topic in parts if topic is not case.topic and case.chance.random() < 0.8]
    given.append((case.topic, case.record))
    case.chance.shuffle(given)
    return await through(processor, wire, *given)


async def strategist(case: Case) -> str:
    wire, settings = Wire(), StrategistSettings(retry_budget_s=0.0, vetted_inference_s=0.5)
    one = Strategist(Fusion(), Spoken(), POLICY, settings, crisis=CRISIS)  # type: ignore[arg-type]
    processor = strategist_processor(wire.bus, one, settings)
    features, reply = (topics.FEATURES, case.honest(topics.FEATURES)), (topics.REPLY, case.honest(topics.REPLY))
    hostile = (case.topic, case.record)
    if case.topic is topics.ESCALATION:
        return await through(processor, wire, features, reply, before=(hostile,))
    if case.topic in {topics.CONVERSATION, topics.DECISION}:
        other = topics.DECISION if case.topic is topics.CONVERSATION else topics.CONVERSATION
        before = [hostile, (other, _of_another_turn(case, other))]
        case.chance.shuffle(before)
        return await through(processor, wire, features, reply, before=before)
    state = [(topics.CONVERSATION, case.honest(topics.CONVERSATION))]
    return await through(processor, wire, hostile, reply, features, before=state if case.chance.random() < 0.5 else ())


def _of_another_turn(case: Case, topic: Topic) -> Any:
    said = pb.Context()
    said.CopyFrom(case.said)
    said.utterance_id = "u9"
    return replace(case, said=said).honest(topic)


async def responder(case: Case) -> str:
    wire, settings = Wire(), ResponderSettings(first_token_s=5, whole_s=5, queue_s=1e9)
    processor = responder_processor(wire.bus, Responder(wire.bus, Served(Writes()), texts(), settings), settings)
    given = [(case.topic, case.record)]
    if case.topic is topics.REPLY:
        given.append((topics.DECISION, case.honest(topics.DECISION)))
    return await through(processor, wire, *given)


async def sentinel(case: Case) -> str:
    wire = Wire()
    processor = sentinel_processor(
        wire.bus, screener(), Approved(vetted(), CRISIS), SentinelSettings(inline_chars=1 << 30), person_judge()
    )
    hostile, utterance = (case.topic, case.record), (topics.UTTERANCE, case.honest(topics.UTTERANCE))
    if case.topic in {topics.ESCALATION, topics.ACKNOWLEDGEMENT, topics.SCREENING}:
        return await through(processor, wire, utterance, before=(hostile,))
    return await through(processor, wire, hostile, *((utterance,) if case.topic is topics.REPLY else ()))


async def reward(case: Case) -> str:
    wire, memory, store = Wire(), Memory(), MemoryStore()
    settings = RewardSettings(
        decision_wait_s=0.003, reply_wait_s=0.003, feedback_wait_s=0.003, flush_s=0.001, judge_deadline_s=5
    )
    logs = [LogWriter(store, "experience", table, flush_s=0.001) for table in (EXPERIENCE_TABLE, FEEDBACK_TABLE)]
    one = Reward(wire.bus, scorer(), logs[0], memory, bucket="experience", pseudonyms=PSEUDONYMS)
    feedback = FeedbackLog(wire.bus, logs[1], memory, settings.feedback_wait_s, PSEUDONYMS)
    processor = RewardProcessor(wire.bus, one, feedback, logs=logs, memory=memory, settings=settings)
    pair = [(topic, case.honest(topic)) for topic in (topics.DECISION, topics.REPLY)]
    try:
        if case.topic is topics.TRUST:
            return await through(processor, wire, *pair, before=((case.topic, case.record),))
        given = [(topic, case.record if topic is case.topic else record) for topic, record in pair]
        if case.topic is topics.FEEDBACK:
            given.append((case.topic, case.record))
        case.chance.shuffle(given)
        return await through(processor, wire, *given)
    finally:
        for log in logs:
            await log.close()


async def gateway(case: Case) -> str:
    """What its follower and its open calls do with a record."""
    record = case.record
    event = decode(case.topic, record.value, record.headers, record.key, RECEIVED_AT_US)
    outcomes = Outcomes(most=8, most_bytes=4 << 20, ttl_s=60)
    said = event.message.context  # type: ignore[attr-defined]
    key = Key(said.tenant, said.conversation_id, said.utterance_id)
    story = Narration(wait_for_trust=True, reply_within_s=1, trust_within_s=1, started=0.0)
    with outcomes.watch(key) as watch:
        outcomes.see(key, event.message)
        told = [part.SerializeToString() for part in story.news(watch.outcome, 0.5)]
        story.patience_s(0.5)
    return "told" if told else "nothing to say"


class Refuses:
    """A model server that has none of the versions it is asked for."""

    async def infer(self, model: str, *_: Any, version: str) -> Any:
        raise UnavailableError(f"{model} {version}")


async def rollout(case: Case) -> str:
    """What a strategist makes of a step, and then asks for an utterance."""
    record = case.record
    event = decode(case.topic, record.value, record.headers, record.key, RECEIVED_AT_US)
    served = ServedPolicy(Refuses(), "policy", "mesc", Version("1", b"h" * 32), deadline_s=1)  # type: ignore[arg-type]
    served.learn(event.message)  # type: ignore[arg-type]
    own = dict.fromkeys(STRATEGIES["mesc"], 1 / len(STRATEGIES["mesc"]))
    version = f"{STATE}:mesc"
    drawn = await served.draw_from(case.said, State(version, (0.0,) * len(names_of(version))), own, tuple(own))
    assert drawn.strategy == own
    return f"share {served.standing.share}"


async def dead_letters(case: Case) -> str:
    """The tools that read dead letters: the record as one, with whatever headers it has."""
    if not is_receipt(case.record.headers):
        letter = Letter.of(case.record)
        assert isinstance(letter.attempts, int)
    return "listed"


Consumer = Callable[[Case], Awaitable[str]]
_ENCODERS: tuple[Consumer, ...] = (text_encoder, audio_encoder, video_encoder)

CONSUMERS: Mapping[str, tuple[Consumer, ...]] = {
    topics.UTTERANCE.name: (*_ENCODERS, joiner, sentinel, gateway),
    topics.TRANSCRIPT.name: (text_encoder, joiner, sentinel),
    topics.SCREENING.name: (joiner, sentinel),
    topics.EMBEDDING_TEXT.name: (joiner, text_encoder),
    topics.EMBEDDING_AUDIO.name: (joiner, audio_encoder),
    topics.EMBEDDING_VIDEO.name: (joiner, video_encoder),
    topics.FEATURES.name: (strategist, joiner),
    topics.DECISION.name: (strategist, responder, reward, gateway),
    topics.REPLY.name: (strategist, responder, reward, sentinel, gateway),
    topics.REPLY_DELTA.name: (gateway,),
    topics.TRUST.name: (reward, gateway),
    topics.FEEDBACK.name: (reward,),
    topics.ESCALATION.name: (sentinel, strategist, gateway),
    topics.ACKNOWLEDGEMENT.name: (sentinel,),
    topics.CONVERSATION.name: (strategist,),
    topics.ERASURE.name: (strategist, sentinel, gateway),
    topics.ROLLOUT.name: (rollout,),
}

FOLLOWERS: frozenset[Consumer] = frozenset({gateway, rollout})
"""They pass over what cannot be decoded."""


async def meet(case: Case) -> str:
    """Give a case to every service that reads its topic; tell how it ended. Raises what a service should not have."""
    record = case.record
    await dead_letters(case)
    try:
        decode(case.topic, record.value, record.headers, record.key, RECEIVED_AT_US)
    except InvalidEventError:
        readers = [case.chance.choice(CONSUMERS[case.topic.name])]  # they all refuse it alike
        known = False
    else:
        readers, known = list(CONSUMERS[case.topic.name]), True
    ends = []
    for consumer in readers:
        if consumer in FOLLOWERS and not known:
            continue
        try:
            ends.append(await consumer(case))
        except Exception as error:
            error.add_note(f"in {consumer.__name__}")
            raise
    if not known:
        return "refused: invalid_event"
    return max(ends, key=lambda end: (end.startswith("dead letter"), end))
