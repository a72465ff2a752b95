"""Workers are killed and come back while records flow; then every record is looked for."""

import asyncio
import logging
import os
import random
import secrets
import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bus_harness import Service, Writer, create, header_of, utterance, wait_committed
from bus_log import records_of
from bus_service import SERVICE, topics_of

from multimood.bus.envelope import output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.local.kafka import KafkaServer

logger = logging.getLogger(__name__)
pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

KILLS = int(os.environ.get("MULTIMOOD_BUS_KILLS", "6"))
GAP_S = 4.0
CONVERSATIONS = 40
WORKERS = 3


@pytest.fixture
def run(kafka: KafkaServer) -> str:
    name = f"kills{secrets.token_hex(3)}"
    create(kafka.brokers, topics_of(name))
    return name


@pytest.fixture
def workers(kafka: KafkaServer, run: str, tmp_path: Path) -> Iterator[list[Service]]:
    env = {"MULTIMOOD_ECHO_RUN": run, "MULTIMOOD_KAFKA_GROUP_PREFIX": run}
    services = [
        Service("bus_service", kafka.brokers, tmp_path, f"echo{number}", env).start() for number in range(WORKERS)
    ]
    yield services
    for service in services:
        service.kill()


async def talk(brokers: str, run: str, until: asyncio.Event) -> int:
    """Publish without a pause longer than a few milliseconds; gives how many."""
    said, _ = topics_of(run)
    chance, sent, futures = random.Random(1), 0, []
    async with Writer(brokers) as writer:
        while not until.is_set():
            conversation = chance.randrange(CONVERSATIONS)
            # Some take long, so that there is always something half done, and acknowledged offsets have gaps.
            text = "slow:0.4" if chance.random() < 0.05 else ""
            futures.append(await writer.begin(said, utterance(run, conversation, sent, text)))
            sent += 1
            await asyncio.sleep(0.004)
        await asyncio.gather(*futures)
    return sent


async def kill_them(workers: list[Service]) -> list[str]:
    """One after another, at random, and start each again at once; gives what was done."""
    chance, done = random.Random(2), []
    for _ in range(KILLS):
        await asyncio.sleep(GAP_S)
        number, blow = chance.randrange(WORKERS), chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
        victim = workers[number]
        while blow is signal.SIGTERM and not victim.checks("/healthz"):  # noqa: ASYNC110 - too young to listen
            await asyncio.sleep(0.2)
        victim.send(blow)
        code = await asyncio.to_thread(victim.wait, 20)
        assert code == (-signal.SIGKILL if blow is signal.SIGKILL else 0), victim.tail()
        victim.start()
        done.append(f"{blow.name} worker {number}")
    await asyncio.sleep(GAP_S)
    return done


def in_order(records: list[Any]) -> None:
    """First answers of a conversation come in the order in which they were asked for."""
    seen: defaultdict[str, list[int]] = defaultdict(list)
    for record in records:
        context = pb.Reply.FromString(record.value).context
        number = int(context.utterance_id.rpartition("-")[2])
        if number not in seen[context.conversation_id]:
            seen[context.conversation_id].append(number)
    for conversation, numbers in seen.items():
        assert numbers == sorted(numbers), f"{conversation} out of order"


async def test_nothing_is_lost_or_renamed(kafka: KafkaServer, run: str, workers: list[Service]) -> None:
    said, answered = topics_of(run)
    await asyncio.gather(*(asyncio.to_thread(worker.wait_ready) for worker in workers))
    until = asyncio.Event()
    talking = asyncio.create_task(talk(kafka.brokers, run, until))
    blows = await kill_them(workers)
    until.set()
    sent = await talking
    await wait_committed(kafka.brokers, f"{run}.{SERVICE}", said, within_s=60)

    records = await records_of(kafka.brokers, [answered.name])
    ids: defaultdict[str, set[str]] = defaultdict(set)
    for record in records:
        reply = pb.Reply.FromString(record.value)
        ids[reply.context.utterance_id].add(header_of(record, "ce_id"))
        assert header_of(record, "ce_id") == output(answered, reply).id
    missing = {f"{run}-{number}" for number in range(sent)} - ids.keys()
    logger.info("%d sent, %d missing, %d repeated; %s", sent, len(missing), len(records) - len(ids), ", ".join(blows))
    assert not missing
    assert len(ids) == sent
    assert all(len(found) == 1 for found in ids.values()), "a repeated answer has another id"
    assert len(records) < 1.2 * sent, "far more was done again than can have been under way"
    assert not await records_of(kafka.brokers, [said.dead_letters])
    in_order(records)
