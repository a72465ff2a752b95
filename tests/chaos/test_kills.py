"""Each service is killed once while utterances flow: every one of them has exactly one outcome."""

import asyncio
import os
import random
import secrets
from collections import Counter
from collections.abc import Iterator

import pytest
from bus_log import counts, messages_of
from real_clips import Clips

from multimood import topics
from multimood.client import Client, TurnInput
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnavailableError
from multimood.experience.reader import Bucket, rows
from multimood.local.services import SERVICES
from multimood.local.stack import Stack

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

UTTERANCES = int(os.environ.get("MULTIMOOD_CHAOS_UTTERANCES", "200"))
CRISIS_EVERY = 10
SENT_AT_ONCE = 8
OUTCOME_WITHIN_S = 240.0
LOGGED_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system of its own, with short replies: what is tested is that there is one."""
    with Stack(tmp_path_factory.mktemp("chaos"), env={"MULTIMOOD_RESPONDER_MAX_TOKENS": "12"}) as running:
        yield running


def traffic(clips: Clips, run: str) -> list[TurnInput]:
    """Conversations of several turns with all sorts of modalities; one in ten is a crisis."""
    chance = random.Random(7)
    turns = []
    for number in range(UTTERANCES):
        crisis = number % CRISIS_EVERY == 0
        kind = "text" if crisis else chance.choice(("text", "text", "text and sound", "text and film", "sound"))
        words = "I want to kill myself." if crisis else f"This is worry number {number}."
        turns.append(
            TurnInput(
                f"{run}-{number % (UTTERANCES // 4)}",
                utterance_id=f"{run}-u{number}",
                text="" if kind == "sound" else words,
                audio=clips.audio if "sound" in kind else b"",
                video=clips.video if "film" in kind else b"",
                learning_consent=number % 2 == 0,
            )
        )
    return turns


async def send(system: Stack, turns: list[TurnInput]) -> list[TurnInput]:
    """Publish every turn, again and again until the gateway confirms it: a platform's duty, and its right."""
    slots = asyncio.Semaphore(SENT_AT_ONCE)

    async def one(turn: TurnInput) -> TurnInput:
        async with slots:
            for attempt in range(60):
                try:
                    async with Client(system.gateway, system.api_key) as client:
                        await client.publish(turn, timeout_s=30)
                except UnavailableError:
                    await asyncio.sleep(min(2.0, 0.2 * (attempt + 1)))
                else:
                    await asyncio.sleep(0.25)
                    return turn
            raise AssertionError(f"{turn.utterance_id} was never accepted")

    return list(await asyncio.gather(*(one(turn) for turn in turns)))


async def kill_each_once(system: Stack) -> None:
    """SIGKILL, service after service, each while the one before may still be coming back."""
    order = [service.name for service in SERVICES]
    random.Random(11).shuffle(order)
    for name in order:
        await asyncio.sleep(3.0)
        await asyncio.to_thread(system.wait_ready, name)
        before = system.kill(name)
        await asyncio.to_thread(system.wait_ready, name, restarts=before.restarts + 1)


async def outcomes(system: Stack, wanted: set[str]) -> tuple[Counter[str], Counter[str]]:
    """Wait until every utterance has a reply and a trust record; gives how many of each it has."""
    deadline = asyncio.get_running_loop().time() + OUTCOME_WITHIN_S
    while True:
        replies = counts(await messages_of(system.kafka_brokers, topics.REPLY, wanted))
        trust = counts(await messages_of(system.kafka_brokers, topics.TRUST, wanted))
        if (set(replies) == wanted and set(trust) == wanted) or asyncio.get_running_loop().time() > deadline:
            return replies, trust
        await asyncio.sleep(2)


def logged(system: Stack) -> Counter[str]:
    """How many rows of the experience log each utterance has."""
    with Bucket(system.s3) as bucket:
        return Counter(row["utterance_id"] for row in rows(bucket))


async def rows_of_all(system: Stack, consented: set[str]) -> Counter[str]:
    """Wait until the log has a row of everything that may be in it: the last window is written when it is over."""
    deadline = asyncio.get_running_loop().time() + LOGGED_WITHIN_S
    while True:
        found = await asyncio.to_thread(logged, system)
        if set(found) >= consented or asyncio.get_running_loop().time() > deadline:
            return found
        await asyncio.sleep(2)


async def test_every_utterance_has_one_outcome_although_each_service_is_killed_once(
    system: Stack, clips: Clips
) -> None:
    turns = traffic(clips, f"chaos-{secrets.token_hex(3)}")
    wanted = {turn.utterance_id for turn in turns}
    _, sent = await asyncio.gather(kill_each_once(system), send(system, turns))
    assert len(sent) == UTTERANCES
    replies, trust = await outcomes(system, wanted)

    assert not wanted - set(replies), "lost"
    assert {name: count for name, count in replies.items() if count > 1} == {}, "answered twice"
    assert not wanted - set(trust), "never scored"
    crises = {turn.utterance_id for number, turn in enumerate(turns) if number % CRISIS_EVERY == 0}
    escalated = {
        message.context.utterance_id for message in await messages_of(system.kafka_brokers, topics.ESCALATION, wanted)
    }
    assert escalated == crises
    for reply in await messages_of(system.kafka_brokers, topics.REPLY, crises):
        assert reply.source != pb.REPLY_SOURCE_GENERATED
    consented = {turn.utterance_id for turn in turns if turn.learning_consent}
    assert await rows_of_all(system, consented) == Counter(consented)
    killed = {name: part.restarts for name, part in system.services.items()}
    assert all(restarts >= 1 for restarts in killed.values()), killed
