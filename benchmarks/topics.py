"""Topics of a benchmark on its own broker: made, emptied, and asked how far they are."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as Place
from kafka import KafkaAdminClient, TopicPartition

from multimood.bus.admin import apply_topics
from multimood.settings import KafkaSettings


@contextmanager
def admin(brokers: str) -> Iterator[KafkaAdminClient]:
    """A client for the length of the block."""
    client = KafkaAdminClient(bootstrap_servers=brokers)
    try:
        yield client
    finally:
        client.close()


def apply(brokers: str, partitions: int) -> None:
    """Make the system's topics."""
    apply_topics(KafkaSettings(brokers=brokers, partitions=partitions))


def fresh(brokers: str, partitions: int) -> str:
    """Make a topic for outputs; gives its name."""
    name = f"bench.out.{secrets.token_hex(4)}"
    configuration = {"message.timestamp.type": "LogAppendTime"}
    with admin(brokers) as client:
        client.create_topics(
            {name: {"num_partitions": partitions, "replication_factor": 1, "configs": configuration}},
            wait_for_metadata=True,
        )
    return name


def ends(client: KafkaAdminClient, topic: str, partitions: int) -> dict[TopicPartition, int]:
    """End offset of each partition."""
    found = client.list_partition_offsets(dict.fromkeys((TopicPartition(topic, n) for n in range(partitions)), -1))
    return {tp: at.offset for tp, at in found.items()}


def empty(brokers: str, topic: str, partitions: int) -> None:
    """Delete the records of a topic."""
    with admin(brokers) as client:
        client.delete_records(ends(client, topic, partitions))


async def append_times_s(brokers: str, topic: str, since: Mapping[TopicPartition, int]) -> list[float]:
    """When each record from these offsets on was appended, in order, by the broker's clock, seconds since the epoch."""
    reader = AIOKafkaConsumer(bootstrap_servers=brokers, enable_auto_commit=False, max_partition_fetch_bytes=8 << 20)
    await reader.start()
    try:
        tps = [Place(topic, tp.partition) for tp in since]
        ends = await reader.end_offsets(tps)
        reader.assign(tps)
        for tp, offset in since.items():
            reader.seek(Place(topic, tp.partition), offset)
        times: list[float] = []
        while len(times) < sum(ends.values()) - sum(since.values()):
            for records in (await reader.getmany(timeout_ms=1000)).values():
                times += [record.timestamp / 1000 for record in records]
        return sorted(times)
    finally:
        await reader.stop()


async def last_append_s(brokers: str, topic: str, partitions: int) -> float:
    """When the newest record was appended, by the broker's clock, seconds since the epoch."""
    reader = AIOKafkaConsumer(bootstrap_servers=brokers, enable_auto_commit=False)
    await reader.start()
    try:
        tps = [Place(topic, number) for number in range(partitions)]
        end, begin = await reader.end_offsets(tps), await reader.beginning_offsets(tps)
        filled = [tp for tp in tps if end[tp] > begin[tp]]
        reader.assign(filled)
        times = []
        for tp in filled:
            reader.seek(tp, end[tp] - 1)
            record = await reader.getone(tp)
            times.append(float(record.timestamp) / 1000)
        return max(times)
    finally:
        await reader.stop()
