"""Two and three of each service come and go, in order and killed, while utterances flow: none is lost or doubled.

Nothing else is wrong meanwhile, and every time limit is generous. So each utterance must come out whole: with every
modality that was announced, its verdict, its score, and in the order of its conversation.
"""

import asyncio
import json
import logging
import random
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from bus_log import records_of
from llm_process import kind
from llm_server import llm_server
from own_system import RETRY_S, OwnSystem
from real_clips import Clips

from multimood import topics
from multimood.audit.reading import audit
from multimood.audit.summary import Summary
from multimood.client import Client, TurnInput
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnavailableError
from multimood.local.kafka import KafkaServer
from multimood.local.services import SERVICES
from multimood.local.store import ObjectStore
from multimood.local.triton import TritonServer
from multimood.topics import Topic

logger = logging.getLogger(__name__)
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

CONVERSATIONS = 12
WRITERS_PAUSE_S = 2.0
"""Of each conversation, between two turns."""
CALLERS = 3
CRISIS_EVERY, FILM_EVERY, SOUND_EVERY = 12, 25, 15
GAP_S = 2.0
SETTLE_S = 150.0
PATIENT = {
    "MULTIMOOD_JOINER_DEADLINE_S": "120",
    "MULTIMOOD_JOINER_ORPHAN_S": "120",
    "MULTIMOOD_TEXT_ENCODER_RETRY_BUDGET_S": "100",
    "MULTIMOOD_AUDIO_ENCODER_RETRY_BUDGET_S": "100",
    "MULTIMOOD_VIDEO_ENCODER_RETRY_BUDGET_S": "100",
    "MULTIMOOD_TRITON_DEADLINE_S": "60",
    "MULTIMOOD_STRATEGIST_INFERENCE_S": "60",
    "MULTIMOOD_STRATEGIST_RETRY_BUDGET_S": "100",
    "MULTIMOOD_RESPONDER_FIRST_TOKEN_S": "60",
    "MULTIMOOD_RESPONDER_WHOLE_S": "60",
    "MULTIMOOD_RESPONDER_QUEUE_S": "120",
    "MULTIMOOD_RESPONDER_GENERATIONS": "8",
    "MULTIMOOD_REWARD_DECISION_WAIT_S": "120",
    "MULTIMOOD_GATEWAY_STORE_TIMEOUT_S": "60",
}
"""Whatever a rebalance delays, nobody gives up on it: a modality that is missing was lost."""


@pytest.fixture
async def system(
    kafka: KafkaServer, store: ObjectStore, triton: TritonServer, tmp_path: Path
) -> AsyncIterator[OwnSystem]:
    async with llm_server(kind) as llm:
        own = OwnSystem(tmp_path, kafka, store, triton, llm.url, **PATIENT)
        try:
            names = [own.start(service.name, number) for service in SERVICES for number in range(2)]
            await own.ready(names, within_s=120)
            yield own
        finally:
            own.stop()


# --- who comes and goes ----------------------------------------------------------------------------------------------


async def moves_of_a_worker(system: OwnSystem, service: str) -> None:
    """Two; a third comes; one is killed, one ends in order, so the third has all; one comes back."""
    first, second, third = (f"{service}-{number}" for number in range(3))
    system.start(service, 2)
    await system.ready([third], within_s=120)
    await asyncio.sleep(GAP_S)
    system.processes[first].kill()
    await asyncio.sleep(GAP_S)
    assert await system.processes[second].drained() == 0, system.processes[second].tail()
    await asyncio.sleep(GAP_S)
    await system.ready([third], within_s=120)
    system.start(service, 0)
    await system.ready([first, third], within_s=120)


async def moves_of_a_gateway(system: OwnSystem) -> None:
    """Two; one is killed and comes back, then the other ends in order and comes back."""
    await asyncio.sleep(GAP_S)
    system.processes["gateway-0"].kill()
    await asyncio.sleep(GAP_S)
    system.start("gateway", 0)
    await system.ready(["gateway-0"], within_s=120)
    await asyncio.sleep(GAP_S)
    assert await system.processes["gateway-1"].drained() == 0
    system.start("gateway", 1)
    await system.ready(["gateway-1"], within_s=120)


# --- who speaks ------------------------------------------------------------------------------------------------------


class Platform:
    """Conversations whose turns do not wait for replies, and callers who do, on two gateways."""

    def __init__(self, system: OwnSystem, clips: Clips) -> None:
        self.run = f"move-{secrets.token_hex(3)}"
        self.sent: dict[str, TurnInput] = {}
        self.told: dict[str, str] = {}
        """Replies by utterance, as its caller was told them."""
        self._clips = clips
        self._chance = random.Random(3)
        self._clients = [system.client(name) for name in sorted(system.gateways)]
        self._publish = system.publish

    async def speak(self, until: asyncio.Event) -> None:
        """Until told to stop; returns when all is confirmed, and every caller has a reply."""
        async with asyncio.TaskGroup() as group:
            for number in range(CONVERSATIONS):
                group.create_task(self._write(f"{self.run}-c{number}", until))
            for number in range(CALLERS):
                group.create_task(self._call(f"{self.run}-w{number}", until))

    async def close(self) -> None:
        for client in self._clients:
            await client.close()

    async def _write(self, conversation: str, until: asyncio.Event) -> None:
        await asyncio.sleep(self._chance.uniform(0, WRITERS_PAUSE_S))
        while not until.is_set():
            turn = self._turn(conversation)
            await self._publish(turn, self._either())
            await asyncio.sleep(WRITERS_PAUSE_S)

    async def _call(self, conversation: str, until: asyncio.Event) -> None:
        while not until.is_set():
            turn = self._turn(conversation, plain=True)
            self.told[turn.utterance_id] = await self._reply_to(turn)
            await asyncio.sleep(0.2)

    async def _reply_to(self, turn: TurnInput) -> str:
        """Ask for a reply; when the gateway goes away, ask the other one, under the same id."""
        while True:
            for client in self._either():
                try:
                    async for part in client.converse(turn, timeout_s=30):
                        assert not part.HasField("rejected"), part
                        if part.HasField("reply"):
                            return part.reply.text
                except UnavailableError:
                    await asyncio.sleep(RETRY_S)

    def _either(self) -> Sequence[Client]:
        return self._chance.sample(self._clients, len(self._clients))

    def _turn(self, conversation: str, *, plain: bool = False) -> TurnInput:
        number = len(self.sent)
        crisis, film, sound = (
            not plain and number % every == every - 1 for every in (CRISIS_EVERY, FILM_EVERY, SOUND_EVERY)
        )
        words = "I want to kill myself." if crisis else f"This is worry number {number}."
        turn = TurnInput(
            conversation, utterance_id=f"{self.run}-u{number}", text="" if sound else words,
            audio=self._clips.audio if sound else b"", video=self._clips.video if film else b"",
            learning_consent=number % 2 == 0,
        )  # fmt: skip
        self.sent[turn.utterance_id] = turn
        return turn

    def is_plain(self, utterance: str) -> bool:
        turn = self.sent[utterance]
        return bool(turn.text) and not turn.video


# --- what must hold --------------------------------------------------------------------------------------------------


async def settled(system: OwnSystem, sent: Sequence[str]) -> Summary:
    """Wait until everything has its outcome and all that belongs to it."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        summary = await audit(system.kafka, system.s3, confirmed=sent)
        if (summary.is_sound and summary.is_whole) or time.monotonic() > deadline:
            return summary
        await asyncio.sleep(3)


async def missing(brokers: str) -> list[str]:
    """What decisions lacked, and why."""
    decisions = map(pb.Decision.FromString, _values(await records_of(brokers, [topics.DECISION.name])))
    return [f"{one.context.utterance_id}: {item}" for one in decisions for item in one.missing]


async def first_of_each(brokers: str, topic: Topic) -> dict[str, list[int]]:
    """By conversation, the numbers of its utterances in the order in which they first were on a topic."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for record in await records_of(brokers, [topic.name]):
        context = topic.message.FromString(record.value).context  # type: ignore[attr-defined]
        number = int(context.utterance_id.rpartition("u")[2])
        if number not in found[context.conversation_id]:
            found[context.conversation_id].append(number)
    return found


async def in_order(brokers: str, topic: Topic, counts_in: Callable[[int], bool]) -> dict[str, list[int]]:
    """Conversations whose utterances, as far as they count, are out of order on a topic."""
    numbers = {
        conversation: [number for number in found if counts_in(number)]
        for conversation, found in (await first_of_each(brokers, topic)).items()
    }
    return {conversation: found for conversation, found in numbers.items() if found != sorted(found)}


async def test_nothing_is_lost_or_answered_twice_while_two_and_three_of_each_come_and_go(
    system: OwnSystem, clips: Clips
) -> None:
    brokers, platform, until = system.kafka.brokers, Platform(system, clips), asyncio.Event()
    began = time.monotonic()
    speaking = asyncio.create_task(platform.speak(until))
    moves: list[Awaitable[None]] = [
        moves_of_a_worker(system, service.name) for service in SERVICES if service.name != "gateway"
    ]
    await asyncio.gather(moves_of_a_gateway(system), *moves)
    moved_s = time.monotonic() - began
    until.set()
    await asyncio.wait_for(speaking, 120)
    await platform.close()
    summary = await settled(system, list(platform.sent))
    report: dict[str, Any] = {"moved_s": round(moved_s, 1), "all_s": round(time.monotonic() - began, 1)}
    logger.warning("%s", json.dumps(report | summary.as_json()))

    assert summary.accepted == len(platform.sent)
    assert summary.is_sound, summary.as_json()
    assert await missing(brokers) == []
    assert not summary.flags["partial"], summary.as_json()
    assert not summary.outcomes["rejected"]
    assert not await records_of(brokers, [topic.dead_letters for topic in topics.TOPICS])

    replies = await records_of(brokers, [topics.REPLY.name])
    texts = {reply.context.utterance_id: reply.text for reply in map(pb.Reply.FromString, _values(replies))}
    assert len(replies) == len(texts) == len(platform.sent)
    assert platform.told == {utterance: texts[utterance] for utterance in platform.told}
    assert len(platform.told) > CALLERS

    # A conversation's crises are answered before its worries, and its films later than its words.
    def plain(number: int) -> bool:
        return platform.is_plain(f"{platform.run}-u{number}") and number % CRISIS_EVERY != CRISIS_EVERY - 1

    for topic in (topics.EMBEDDING_TEXT, topics.SCREENING, topics.FEATURES, topics.DECISION, topics.REPLY):
        assert await in_order(brokers, topic, plain) == {}, topic.name
    for topic in (topics.EMBEDDING_AUDIO, topics.EMBEDDING_VIDEO):
        assert await in_order(brokers, topic, lambda _number: True) == {}, topic.name
    for name, process in system.processes.items():
        assert name in system.gateways or "partition taken over" in process.log.read_text(), f"{name} had nothing to do"
        drained = name.endswith("-1") and name not in system.gateways
        assert process.exit_code() == (0 if drained else None), process.tail()


def _values(records: Sequence[Any]) -> list[bytes]:
    return [record.value for record in records]
