"""Sending against a real broker: whatever becomes of a producer, each of its records is durable in the end."""

import asyncio
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiokafka.errors import ProducerClosed
from bus_harness import create
from bus_log import records_of

from multimood.bus import producer
from multimood.bus.outbox import Record
from multimood.bus.producer import Producer
from multimood.bus.sender import Sender
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnsendableError
from multimood.local.kafka import KafkaServer
from multimood.settings import KafkaSettings
from multimood.topics import Topic

pytestmark = pytest.mark.integration

GROUPS, IN_A_GROUP = 40, 40
RECORD_BYTES = 49_000
REFUSED_ABOVE = 1_000
DROPS = 2
WITHIN_S = 60.0


@contextmanager
def hung(kafka: KafkaServer) -> Iterator[None]:
    assert kafka.child is not None
    kafka.child.send(signal.SIGSTOP)
    try:
        yield
    finally:
        kafka.child.send(signal.SIGCONT)


def topic(name: str, max_message_bytes: int) -> Topic:
    return Topic(f"{name}.{secrets.token_hex(3)}", pb.Utterance, 0, max_message_bytes=max_message_bytes)


async def test_what_a_dropped_producer_had_not_sent_goes_through_the_next(kafka: KafkaServer) -> None:
    many, strict = topic("many", 1 << 20), topic("strict", REFUSED_ABOVE)
    create(kafka.brokers, (many, strict), partitions=1)
    names = [f"{group}.{number}".encode() for group in range(GROUPS) for number in range(IN_A_GROUP)]
    one = Sender(KafkaSettings(brokers=kafka.brokers))
    await one.start()
    async with asyncio.timeout(WITHIN_S):
        sending = [
            asyncio.create_task(one.send_all([record(many, name) for name in names[start : start + IN_A_GROUP]]))
            for start in range(0, len(names), IN_A_GROUP)
        ]
        for _ in range(DROPS):
            with pytest.raises(UnsendableError):  # by the broker: what makes us doubt the producer
                await one.send(strict.name, b"k", b"x" * (REFUSED_ABOVE + 1), [], limit=1 << 20)
        outcomes = [outcome for task in sending for outcome in await task]
    await one.stop()
    assert set(outcomes) == {None}
    assert {record.value.rstrip() for record in await records_of(kafka.brokers, [many.name])} == set(names)


async def test_a_producer_that_is_stopped_says_so_to_all_who_wait_for_it(
    kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer, "STOP_S", 0.2)
    many = topic("many", 1 << 20)
    create(kafka.brokers, (many,), partitions=1)
    one = Producer(bootstrap_servers=kafka.brokers, enable_idempotence=True, max_batch_size=2 * RECORD_BYTES)
    await one.start()
    with hung(kafka):
        async with asyncio.timeout(10):
            sending = [asyncio.create_task(one.send_and_wait(many.name, b"x" * RECORD_BYTES)) for _ in range(8)]
            await asyncio.sleep(0.1)
            await one.stop()
            outcomes = await asyncio.gather(*sending, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {ProducerClosed}


async def test_a_batch_waits_for_its_turn_however_long(kafka: KafkaServer) -> None:
    many = topic("many", 1 << 20)
    create(kafka.brokers, (many,), partitions=1)
    one = Producer(bootstrap_servers=kafka.brokers, enable_idempotence=True, request_timeout_ms=500)
    await one.start()
    await one.send_and_wait(many.name, b"first")
    with hung(kafka):
        sending = [asyncio.create_task(one.send_batch(batch(one), many.name, partition=0)) for _ in range(4)]
        await asyncio.sleep(2)
    async with asyncio.timeout(30):
        for durable in await asyncio.gather(*sending):
            await durable
    await one.stop()
    assert len(await records_of(kafka.brokers, [many.name])) == 5


def batch(one: Producer) -> Any:
    built = one.create_batch()
    built.append(timestamp=None, key=b"k", value=b"v")
    return built


def record(of: Topic, name: bytes) -> Record:
    return Record(of.name, b"k", name.ljust(RECORD_BYTES), [("h", b"1")], 1 << 20, 0)
