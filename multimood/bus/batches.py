"""Many records in the client's batches, filled by us: one future a batch instead of one for each record."""

from collections import defaultdict
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from multimood.bus.outbox import Record

Failures = dict[int, BaseException]
"""By the record's number: what became of those that are not known to be durable."""

Begun = tuple[list[int], Awaitable[Any]]


async def send_batches(producer: AIOKafkaProducer, records: Mapping[int, Record]) -> Failures:
    """Send records that name their partition; returns when the last batch is durable or has failed."""
    places: defaultdict[tuple[str, int | None], list[int]] = defaultdict(list)
    for number, record in records.items():
        places[record.topic, record.partition].append(number)
    failures: Failures = {}
    begun: list[Begun] = []
    for (topic, partition), numbers in places.items():
        for batch, taken in _filled(producer, records, numbers):
            try:
                begun.append((taken, await producer.send_batch(batch, topic, partition=partition)))
            except (KafkaError, OSError) as error:
                failures.update(dict.fromkeys(taken, error))
    for taken, durable in begun:
        try:
            await durable
        except (KafkaError, OSError) as error:
            failures.update(dict.fromkeys(taken, error))
    return failures


def _filled(
    producer: AIOKafkaProducer, records: Mapping[int, Record], numbers: Sequence[int]
) -> list[tuple[Any, list[int]]]:
    """Batches with the numbers of what is in each; the client takes one record whatever its size."""
    batches: list[tuple[Any, list[int]]] = []
    for number in numbers:
        one = records[number]
        if not batches or not _append(batches[-1][0], one):
            batches.append((producer.create_batch(), []))
            _append(batches[-1][0], one)
        batches[-1][1].append(number)
    return batches


def _append(batch: Any, one: Record) -> bool:
    return batch.append(timestamp=None, key=one.key, value=one.value, headers=one.headers) is not None
