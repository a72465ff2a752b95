"""Reading topics without a consumer group: the end of a partition after an assignment, or everything as it comes."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import CoordinationType
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, TopicAuthorizationFailedError
from aiokafka.protocol.metadata import MetadataRequest
from google.protobuf.message import Message

from multimood.bus.connection import aiokafka_options
from multimood.bus.envelope import decode, header
from multimood.bus.letters import is_receipt
from multimood.bus.probe import why
from multimood.bus.refusals import Refusals, explained
from multimood.bus.sender import answers
from multimood.clock import now_us
from multimood.errors import InvalidEventError, UnavailableError
from multimood.settings import KafkaSettings
from multimood.topics import Topic

logger = logging.getLogger(__name__)

TAIL_WAIT_MS: Final = 5
"""The broker answers a connection's requests in order: what waits for new records holds up every question behind it."""
MOST: Final = 50_000
"""So many records of a partition are read back by time, at most: more would not be remembered."""


def _consumer(settings: KafkaSettings, fetch_wait_ms: int = 200) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        **aiokafka_options(settings),
        client_rack=settings.client_rack or None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=fetch_wait_ms,
    )


class PartitionTail:
    """Reads the last records of single partitions: how a worker that was just given a partition learns its past.

    All methods raise KafkaError when the broker does not answer.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._reader: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Connect."""
        reader = _consumer(self._settings, TAIL_WAIT_MS)
        try:
            await reader.start()
        except BaseException:
            await reader.stop()
            raise
        self._reader = reader

    async def stop(self) -> None:
        """Disconnect."""
        if self._reader is not None:
            await self._reader.stop()

    async def reachable(self) -> bool:
        """Ask whether the broker answers now; in a few seconds at most, and never raises."""
        return self._reader is not None and await answers(self._reader._client, self._settings)  # noqa: SLF001

    async def partitions(self, topics: Iterable[Topic]) -> dict[str, int]:
        """Count the partitions by topic; 0 for one that is not on the broker.

        Raises TopicAuthorizationFailedError with the names of those that we may not know of.
        """
        assert self._reader is not None, "start() first"
        cluster = await self._reader._client.fetch_all_metadata()  # noqa: SLF001
        counts = {topic.name: len(cluster.partitions_for_topic(topic.name) or ()) for topic in topics}
        await self.check_known([name for name, count in counts.items() if not count])
        return counts

    async def check_known(self, names: Iterable[str]) -> None:
        """Raise TopicAuthorizationFailedError with the names of those that we may not know of.

        Asked for all topics, brokers leave those out, as if they were not there.
        """
        assert self._reader is not None, "start() first"
        client, cluster = self._reader._client, ClusterMetadata()  # noqa: SLF001
        if asked := list(names):
            request = MetadataRequest(asked, allow_auto_topic_creation=False)
            cluster.update_metadata(await client.send(client.get_random_node(), request))
        if cluster.unauthorized_topics:
            raise TopicAuthorizationFailedError(cluster.unauthorized_topics)

    async def may_join(self, group: str) -> None:
        """Raises GroupAuthorizationFailedError when we may not even know of a consumer group."""
        assert self._reader is not None, "start() first"
        try:
            await self._reader._client.coordinator_lookup(CoordinationType.GROUP, group)  # noqa: SLF001
        except GroupAuthorizationFailedError:
            raise GroupAuthorizationFailedError(group) from None

    async def missing(self, topics: Iterable[Topic]) -> list[str]:
        """Name those that are not on the broker."""
        return sorted(name for name, count in (await self.partitions(topics)).items() if not count)

    async def time_at(self, topic: Topic, partition: int, offset: int | None) -> int | None:
        """Timestamp (ms) of the first record from `offset` on (None: from the beginning); None when there is none."""
        async with contextlib.aclosing(self._between(topic, partition, offset or 0)) as records:
            async for record in records:
                timestamp: int = record.timestamp
                return timestamp
        return None

    async def read(
        self, topic: Topic, partition: int, last: int | None = None, since_ms: int | None = None
    ) -> AsyncIterator[Any]:
        """Yield the raw records of a partition that exist now: the `last` so many and those since a time, or all."""
        begin = 0
        if last is not None:
            assert self._reader is not None, "start() first"
            tp = TopicPartition(topic.name, partition)
            end: int = (await self._reader.end_offsets([tp]))[tp]
            begin = end - last
            found = (await self._reader.offsets_for_times({tp: since_ms}))[tp] if since_ms is not None else None
            if found is not None:
                begin = min(begin, max(found.offset, end - MOST))
        async for record in self._between(topic, partition, begin):
            yield record

    async def _between(self, topic: Topic, partition: int, begin: int) -> AsyncGenerator[Any]:
        """Yield from an offset, or the first that exists, to the present end.

        The position is what ends it, not a record's offset: the last offsets may hold no record (transaction markers,
        compaction).
        """
        assert self._reader is not None, "start() first"
        reader, tp = self._reader, TopicPartition(topic.name, partition)
        end: int = (await reader.end_offsets([tp]))[tp]
        position = max(begin, (await reader.beginning_offsets([tp]))[tp])
        if position >= end:
            return
        reader.assign([tp])
        try:
            reader.seek(tp, position)
            while position < end:
                for record in (await reader.getmany(tp, timeout_ms=500)).get(tp, ()):
                    if record.offset < end:
                        yield record
                position = await reader.position(tp)
        finally:
            reader.unsubscribe()  # or it would go on fetching


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
    """Every partition of some topics, from `since_s` ago on, by one reader of its own (no group, nothing committed).

    Without `since_s`: all that is there.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topics: Sequence[Topic],
        since_s: float | None = 3600,
        *,
        dead_letters: bool = False,
    ) -> None:
        self._settings = settings
        self._names = [topic.name for topic in topics] + ([t.dead_letters for t in topics] if dead_letters else [])
        self._topics = {topic.name: topic for topic in topics}
        self._dead = {topic.dead_letters: topic for topic in topics}
        self._since_s = since_s
        self._reader: AIOKafkaConsumer | None = None
        self._ends: dict[TopicPartition, int] = {}
        self.refusals = Refusals()
        """That the brokers do not let us read: what comes meanwhile is read afterwards."""
        self.caught_up = asyncio.Event()
        """Set once everything that existed at the start was read."""

    async def start(self) -> None:
        """Connect and seek. Raises UnavailableError when the broker or a topic is not there."""
        self._reader = _consumer(self._settings)
        try:
            await self._reader.start()
            await self._seek(self._reader)
        except BaseException as error:
            await self._reader.stop()
            if not isinstance(error, KafkaError):
                raise
            raise await why(error, self._settings, "following topics") from None

    async def _seek(self, reader: AIOKafkaConsumer) -> None:
        tps = []
        for name in self._names:
            partitions = await reader._client._wait_on_metadata(name) and reader.partitions_for_topic(name)  # noqa: SLF001
            if not partitions:
                raise UnavailableError(f"topic {name} does not exist: run 'multimood topics apply'")
            tps += [TopicPartition(name, partition) for partition in partitions]
        reader.assign(tps)
        since_ms = 0 if self._since_s is None else now_us() // 1000 - int(self._since_s * 1000)
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
                found = explained(error, self._settings, "reading")
                self.refusals.note("reading", found)
                logger.warning("following paused", extra={"code": found.code, "reason": str(found)})
                await asyncio.sleep(1)
                continue
            for records in batches.values():
                for record in records:
                    received = self._receive(record)
                    if received is not None:
                        yield received
            await self._note_ends(self._reader)

    async def _note_ends(self, reader: AIOKafkaConsumer) -> None:
        # By position: the last offsets of a partition may hold no record (transaction markers, compaction).
        for tp, end in tuple(self._ends.items()):
            if await reader.position(tp) >= end:
                del self._ends[tp]
                if not self._ends:
                    self.caught_up.set()

    def _receive(self, record: Any) -> Received | None:
        identity = header(record.headers, "ce_id")
        origin = self._dead.get(record.topic)
        if origin is not None:
            if is_receipt(record.headers):
                return None
            return Received(
                origin, None, identity, dead_letter=True, stage=header(record.headers, "mm_service"),
                reason=header(record.headers, "mm_reason"), key=(record.key or b"").decode("utf-8", "replace"),
                utterance_id=header(record.headers, "ce_subject"),
            )  # fmt: skip
        try:
            event = decode(self._topics[record.topic], record.value, record.headers, record.key, now_us())
        except InvalidEventError:
            return None
        return Received(event.topic, event.message, event.id, key=event.key.decode())
