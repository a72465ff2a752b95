"""Bare aiokafka: consume, join, produce, commit what is durable. `python -m benchmarks.contenders.bare`."""

import asyncio
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.contenders.job import BROKERS, GROUP, NAMES, OUT, Open, begun, is_complete, joined, part

COMMIT_S = 0.2


async def main() -> None:
    """Loop for ever; all outputs of one poll are durable before the next, and before their inputs are committed."""
    consumer = AIOKafkaConsumer(
        *NAMES,
        bootstrap_servers=BROKERS,
        group_id=GROUP,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_records=4000,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=BROKERS, acks="all", enable_idempotence=True, linger_ms=5, max_batch_size=1 << 18
    )
    await producer.start()
    await consumer.start()
    pending: dict[object, dict[str, object]] = {}
    tickets: dict[object, list[tuple[TopicPartition, int]]] = {}
    reading: dict[TopicPartition, Open] = {}
    committed = time.monotonic()
    first = True
    while True:
        sent, done = [], []
        for tp, records in (await consumer.getmany(timeout_ms=1000)).items():
            if first:
                begun()
                first = False
            opened = reading.setdefault(tp, Open())
            for record in records:
                key, value = part(tp.topic, record.key, record.value)
                parts = pending.setdefault(key, {})
                parts[tp.topic] = value
                opened.read(record.offset)
                tickets.setdefault(key, []).append((tp, record.offset))
                if is_complete(parts):
                    sent.append(await producer.send(OUT, joined(parts), record.key, tp.partition))
                    done += tickets.pop(key)
                    del pending[key]
        if sent:
            await asyncio.gather(*sent)
        for tp, offset in done:
            del reading[tp].offsets[offset]
        if time.monotonic() - committed > COMMIT_S:
            await consumer.commit({tp: opened.committable() for tp, opened in reading.items()})
            committed = time.monotonic()


asyncio.run(main())
