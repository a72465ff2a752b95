"""The same loop with confluent-kafka (librdkafka, in C). `python -m benchmarks.contenders.confluent`."""

import time

from confluent_kafka import Consumer, Producer, TopicPartition  # type: ignore[import-not-found]

from benchmarks.contenders.job import BROKERS, GROUP, NAMES, OUT, Open, begun, is_complete, joined, part

COMMIT_S = 0.2


def main() -> None:
    """Loop for ever; all outputs of one poll are durable before the next, and before their inputs are committed."""
    consumer = Consumer(
        {
            "bootstrap.servers": BROKERS,
            "group.id": GROUP,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": BROKERS,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 5,
            "batch.size": 1 << 18,
            "queue.buffering.max.messages": 1 << 20,
        }
    )
    consumer.subscribe(list(NAMES), on_assign=lambda *_: begun())
    pending: dict[object, dict[str, object]] = {}
    tickets: dict[object, list[tuple[tuple[str, int], int]]] = {}
    reading: dict[tuple[str, int], Open] = {}
    committed = time.monotonic()
    while True:
        records = consumer.consume(4000, 0.1)
        done = []
        for record in records:
            if record.error():
                raise SystemExit(str(record.error()))
            topic, partition, offset = record.topic(), record.partition(), record.offset()
            key, value = part(topic, record.key(), record.value())
            parts = pending.setdefault(key, {})
            parts[topic] = value
            reading.setdefault((topic, partition), Open()).read(offset)
            tickets.setdefault(key, []).append(((topic, partition), offset))
            if is_complete(parts):
                producer.produce(OUT, joined(parts), record.key(), partition)
                done += tickets.pop(key)
                del pending[key]
        if done:
            producer.flush()
        for tp, offset in done:
            del reading[tp].offsets[offset]
        if reading and time.monotonic() - committed > COMMIT_S:
            consumer.commit(
                offsets=[TopicPartition(*tp, opened.committable()) for tp, opened in reading.items()],
                asynchronous=False,
            )
            committed = time.monotonic()


main()
