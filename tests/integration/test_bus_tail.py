"""Reading back and following on a real broker, also where the last offsets of a partition hold no record."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from bus_harness import Writer, create, utterance
from kafka import KafkaAdminClient, TopicPartition

from multimood.bus import Follower
from multimood.bus.tail import PartitionTail
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnavailableError
from multimood.local.kafka import KafkaServer
from multimood.local.ports import HOST, assign
from multimood.settings import KafkaSettings
from multimood.topics import HOUR_MS, Topic

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture
def topic(kafka: KafkaServer) -> Topic:
    one = Topic(f"test.{secrets.token_hex(4)}.v1", pb.Utterance, HOUR_MS)
    create(kafka.brokers, [one], partitions=1)
    return one


@pytest.fixture
async def tail(kafka: KafkaServer) -> AsyncIterator[PartitionTail]:
    one = PartitionTail(KafkaSettings(brokers=kafka.brokers))
    await one.start()
    yield one
    await one.stop()


async def write(kafka: KafkaServer, topic: Topic, count: int, begin: int = 0) -> list[Any]:
    async with Writer(kafka.brokers) as writer:
        return await writer.say(topic, *(utterance("r", "c", number) for number in range(begin, begin + count)))


async def write_and_abort(kafka: KafkaServer, topic: Topic) -> None:
    """Two transactions: the partition ends with a commit marker and with an abort marker behind aborted records."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.brokers, transactional_id=secrets.token_hex(4))
    await producer.start()
    try:
        for keep in (True, False):
            await producer.begin_transaction()
            said = utterance("r", "c", f"transaction {keep}")
            await producer.send_and_wait(topic.name, said.SerializeToString(), key=b"t/r-cc")
            await (producer.commit_transaction() if keep else producer.abort_transaction())
    finally:
        await producer.stop()


async def offsets(tail: PartitionTail, *arguments: Any) -> list[int]:
    async with asyncio.timeout(15):
        return [record.offset async for record in tail.read(*arguments)]


async def test_the_last_so_many_or_all_or_those_since_a_time(
    kafka: KafkaServer, tail: PartitionTail, topic: Topic
) -> None:
    assert await offsets(tail, topic, 0, 5) == []
    assert await tail.time_at(topic, 0, None) is None
    await write(kafka, topic, 6)
    await asyncio.sleep(0.05)
    sent = await write(kafka, topic, 4, begin=6)
    assert await offsets(tail, topic, 0, 3) == [7, 8, 9]
    assert await offsets(tail, topic, 0, 100) == await offsets(tail, topic, 0) == list(range(10))
    since = await tail.time_at(topic, 0, 6)
    assert since == sent[0].timestamp
    assert await offsets(tail, topic, 0, 2, since) == [6, 7, 8, 9], "further back than the last two, where time says so"
    assert await offsets(tail, topic, 0, 8, since) == list(range(2, 10)), "and no less than the last eight"
    assert await offsets(tail, topic, 0, 2, since + HOUR_MS) == [8, 9]
    assert await tail.time_at(topic, 0, 10) is None


async def test_it_ends_where_the_last_offsets_hold_no_record(
    kafka: KafkaServer, tail: PartitionTail, topic: Topic
) -> None:
    await write(kafka, topic, 2)
    await write_and_abort(kafka, topic)
    read = await offsets(tail, topic, 0)
    assert read[:3] == [0, 1, 2]
    assert await offsets(tail, topic, 0, 1) in ([], [4])
    follower = Follower(KafkaSettings(brokers=kafka.brokers), [topic])
    await follower.start()

    async def follow() -> None:
        async for _ in follower:
            pass

    following = asyncio.create_task(follow())
    try:
        await asyncio.wait_for(follower.caught_up.wait(), 15)
    finally:
        following.cancel()
        await follower.stop()


async def test_what_retention_took_is_passed_over(kafka: KafkaServer, tail: PartitionTail, topic: Topic) -> None:
    await write(kafka, topic, 6)
    admin = KafkaAdminClient(bootstrap_servers=kafka.brokers)
    try:
        admin.delete_records({TopicPartition(topic.name, 0): 4})
    finally:
        admin.close()
    assert await offsets(tail, topic, 0) == await offsets(tail, topic, 0, 100) == [4, 5]
    assert await tail.time_at(topic, 0, 0) == await tail.time_at(topic, 0, 4)


async def test_a_follower_sees_what_comes_and_passes_over_what_is_none(kafka: KafkaServer, topic: Topic) -> None:
    await write(kafka, topic, 1)
    follower = Follower(KafkaSettings(brokers=kafka.brokers), [topic])
    await follower.start()
    seen = []

    async def follow() -> None:
        async for received in follower:
            assert isinstance(received.message, pb.Utterance)
            seen.append(received.message.context.utterance_id)

    following = asyncio.create_task(follow())
    try:
        await asyncio.wait_for(follower.caught_up.wait(), 10)
        async with Writer(kafka.brokers) as writer:
            await writer.raw(topic, b"\xff\xff")
        await write(kafka, topic, 1, begin=1)
        async with asyncio.timeout(10):
            while len(seen) < 2:  # noqa: ASYNC110 - only asking shows it
                await asyncio.sleep(0.05)
        assert seen == ["r-0", "r-1"]
    finally:
        following.cancel()
        await follower.stop()


async def test_following_needs_a_broker() -> None:
    nobody = f"{HOST}:{assign(['nobody'])['nobody']}"
    with pytest.raises(UnavailableError, match=nobody):
        await Follower(KafkaSettings(brokers=nobody), []).start()
