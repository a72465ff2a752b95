"""Reading topics without a consumer group: the end of a partition after an assignment, or everything as it comes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from google.protobuf.message import Message

from multimood.bus.envelope import decode, header
from multimood.clock import now_us
from multimood.errors import InvalidEventError, UnavailableError
from multimood.settings import KafkaSettings
from multimood.topics import BY_NAME, Topic

logger = logging.getLogger(__name__)


def _consumer(settings: KafkaSettings) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=settings.brokers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=200,
    )


class PartitionTail:
    """Reads the last records of single partitions: how a worker that was just given a partition learns its past."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._reader: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Connect."""
        self._reader = _consumer(self._settings)
        await self._reader.start()

    async def stop(self) -> None:
        """Disconnect."""
        if self._reader is not None:
            await self._reader.stop()

    async def missing(self, topics: Iterable[Topic]) -> list[str]:
        """Name those that are not on the broker."""
        assert self._reader is not None, "start() first"
        there = await self._reader.topics()
        return sorted({topic.name for topic in topics} - there)

    async def read(self, topic: Topic, partition: int, last: int | None = None) -> AsyncIterator[Any]:
        """Yield the raw records of a partition that exist now: the `last` so many, or all."""
        assert self._reader is not None, "start() first"
        reader, tp = self._reader, TopicPartition(topic.name, partition)
        reader.assign([tp])
        end: int = (await reader.end_offsets([tp]))[tp]
        begin: int = (await reader.beginning_offsets([tp]))[tp]
        position = begin if last is None else max(begin, end - last)
        reader.seek(tp, position)
        while position < end:
            for record in (await reader.getmany(tp, timeout_ms=500)).get(tp, ()):
                yield record
            position = await reader.position(tp)


@dataclass(frozen=True, slots=True)
class Received:
    """A record as a follower sees it. Of a dead letter only where it died, why, and whose it was are known."""

    topic: Topic
    message: Message | None
    event_id: str
    dead_letter: bool = False
    stage: str = ""
    reason: str = ""
    key: str = ""
    utterance_id: str = ""


class Follower:
    """Every partition of some topics, from `since_s` ago on, by one reader of its own (no group, nothing committed)."""

    def __init__(
        self, settings: KafkaSettings, topics: Sequence[Topic], since_s: float = 3600, *, dead_letters: bool = False
    ) -> None:
        self._settings = settings
        self._names = [topic.name for topic in topics] + ([t.dead_letters for t in topics] if dead_letters else [])
        self._dead = {topic.dead_letters: topic for topic in topics}
        self._since_s = since_s
        self._reader: AIOKafkaConsumer | None = None
        self._ends: dict[TopicPartition, int] = {}
        self.caught_up = asyncio.Event()
        """Set once everything that existed at the start was read."""

    async def start(self) -> None:
        """Connect and seek. Raises UnavailableError when the broker or a topic is not there."""
        self._reader = _consumer(self._settings)
        try:
            await self._reader.start()
            await self._seek(self._reader)
        except KafkaError as error:
            await self._reader.stop()
            raise UnavailableError(
                f"cannot follow topics on {self._settings.brokers}: {type(error).__name__}"
            ) from None

    async def _seek(self, reader: AIOKafkaConsumer) -> None:
        tps = []
        for name in self._names:
            partitions = await reader._client._wait_on_metadata(name) and reader.partitions_for_topic(name)  # noqa: SLF001
            if not partitions:
                raise UnavailableError(f"topic {name} does not exist: run 'multimood topics apply'")
            tps += [TopicPartition(name, partition) for partition in partitions]
        reader.assign(tps)
        since_ms = now_us() // 1000 - int(self._since_s * 1000)
        starts = await reader.offsets_for_times(dict.fromkeys(tps, since_ms))
        ends = await reader.end_offsets(tps)
        for tp in tps:
            start = starts.get(tp)
            reader.seek(tp, start.offset if start is not None else ends[tp])
            if start is not None and start.offset < ends[tp]:
                self._ends[tp] = ends[tp]
        if not self._ends:
            self.caught_up.set()

    async def stop(self) -> None:
        """Disconnect."""
        if self._reader is not None:
            await self._reader.stop()

    async def __aiter__(self) -> AsyncIterator[Received]:
        """Yield records as they come, for ever. One that cannot be decoded is skipped: its owner dead-letters it."""
        assert self._reader is not None, "start() first"
        while True:
            try:
                batches = await self._reader.getmany(timeout_ms=1000)
            except KafkaError as error:
                logger.warning("following paused", extra={"cause": type(error).__name__})
                await asyncio.sleep(1)
                continue
            for tp, records in batches.items():
                for record in records:
                    received = self._receive(record)
                    if received is not None:
                        yield received
                if tp in self._ends and records[-1].offset + 1 >= self._ends[tp]:
                    del self._ends[tp]
                    if not self._ends:
                        self.caught_up.set()

    def _receive(self, record: Any) -> Received | None:
        identity = header(record.headers, "ce_id")
        origin = self._dead.get(record.topic)
        if origin is not None:
            return Received(
                origin, None, identity, dead_letter=True, stage=header(record.headers, "mm_service"),
                reason=header(record.headers, "mm_reason"), key=(record.key or b"").decode("utf-8", "replace"),
                utterance_id=header(record.headers, "ce_subject"),
            )  # fmt: skip
        try:
            event = decode(BY_NAME[record.topic], record.value, record.headers, record.key, now_us())
        except InvalidEventError:
            return None
        return Received(event.topic, event.message, event.id, key=event.key.decode())
