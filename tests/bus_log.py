"""What lies on topics, read from the beginning to the present end, for assertions about whole runs."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from google.protobuf.message import Message

from multimood.topics import Topic


async def records_of(brokers: str, names: Sequence[str]) -> list[Any]:
    """Every raw record of the topics, as aiokafka gives it."""
    reader = AIOKafkaConsumer(bootstrap_servers=brokers, enable_auto_commit=False)
    await reader.start()
    try:
        tps = []
        for name in names:
            await reader._client._wait_on_metadata(name)
            tps += [TopicPartition(name, partition) for partition in reader.partitions_for_topic(name) or ()]
        reader.assign(tps)
        await reader.seek_to_beginning(*tps)
        ends = await reader.end_offsets(tps)
        found: list[Any] = []
        while any([await reader.position(tp) < ends[tp] for tp in tps]):
            for records in (await reader.getmany(timeout_ms=200)).values():
                found += records
        return found
    finally:
        await reader.stop()


async def messages_of(brokers: str, topic: Topic, utterances: Collection[str]) -> list[Message]:
    """The decoded records of a topic that belong to some utterances, in no order that means anything."""
    subjects = {utterance.encode() for utterance in utterances}
    return [
        topic.message.FromString(record.value)
        for record in await records_of(brokers, [topic.name])
        if dict(record.headers).get("ce_subject") in subjects
    ]


def counts(messages: Sequence[Any]) -> Counter[str]:
    """How many of the messages belong to each utterance."""
    return Counter(message.context.utterance_id for message in messages)
