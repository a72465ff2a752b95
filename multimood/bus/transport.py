"""The seam to Faust: raw records reach us as one list per partition, not as one coroutine chain per message.

Membership, assignment, rebalancing, fetching, flow control, commits and lifecycle stay Faust's. What changes is the
unit of delivery (a `Batch`) and the source of the committed offset (an `OffsetTracker` instead of Faust's ack index).

Three guards keep a rebalance from losing records; each was found by killing workers under load:
the generation is read after the fetch returns (it may have slept through a rebalance), every batch carries its
generation so that a stale one can be thrown away, and offsets must follow on (a fetch that a rebalance orphans
moves the position and loses its records, so a hole is fetched again once; met a second time it is a real one, left by compaction).
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import faust
from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from multimood.bus.acks import OffsetTracker

logger = logging.getLogger(__name__)

COMMIT_ON_REVOKE_S = 2.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of one partition, fetched in one generation of the consumer group."""

    generation: int
    tp: TP
    records: Sequence[Any]
    tracker: OffsetTracker


class _ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit; a broker that cannot take it now is asked again at the next interval instead of ending the worker."""
        consumer = self._ensure_consumer()
        current = {tp: offset for tp, offset in offsets.items() if tp in self.assignment()}
        if not current:
            return False
        try:
            await consumer.commit({driver.ensure_aiokafka_TP(tp): offset for tp, offset in current.items()})
        except (TimeoutError, KafkaError) as error:
            logger.warning("offsets were not committed and will be again", extra={"cause": type(error).__name__})
            return False
        return True


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """Puts batches into `inbox` (bounded: a slow service stops the fetch) and commits what the trackers allow."""

    inbox: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._trackers: dict[TP, OffsetTracker] = {}
        self._expected: dict[TP, int] = {}
        self._holes: set[tuple[TP, int]] = set()
        self._generation = -1

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def is_current(self, batch: Batch) -> bool:
        """Tell whether the batch's partitions are still ours by the same assignment."""
        return batch.generation == self.app.consumer_generation_id and self._trackers.get(batch.tp) is batch.tracker

    @property
    def pending(self) -> int:
        """Records delivered and not yet done, over all partitions."""
        return sum(tracker.pending for tracker in self._trackers.values())

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commit what is done while we may still, then forget the revoked partitions."""
        try:
            await asyncio.wait_for(self.commit(), COMMIT_ON_REVOKE_S)
        except TimeoutError:
            logger.warning("no commit before a rebalance: some records will be seen again")
        for tp in revoked:
            self._trackers.pop(tp, None)
        await super().on_partitions_revoked(revoked)

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                records, _ = await self._wait_next_records(1.0)
                generation = self.app.consumer_generation_id
                if generation != self._generation:
                    self._generation = generation
                    self._trackers.clear()
                    self._expected.clear()
                    self._holes.clear()
                await asyncio.sleep(0)
                if not self.flow_active:
                    await self.perform_seek()
                    self._expected.clear()
                elif records:
                    await self._deliver(generation, records)
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise

    async def _deliver(self, generation: int, records: Mapping[TP, Sequence[Any]]) -> None:
        for tp, batch in records.items():
            if not self.flow_active or generation != self.app.consumer_generation_id:
                return
            expected = await self._next_offset(tp)
            if batch[0].offset > expected and (tp, expected) not in self._holes:
                self._holes.add((tp, expected))
                await self.seek(tp, expected)
                continue
            fresh = [record for record in batch if record.offset >= expected] if batch[0].offset < expected else batch
            if not fresh:
                continue
            self._expected[tp] = fresh[-1].offset + 1
            self._read_offset[tp] = fresh[-1].offset
            tracker = self._trackers.get(tp)
            if tracker is None:
                tracker = self._trackers[tp] = OffsetTracker(fresh[0].offset)
            for record in fresh:
                tracker.open(record.offset)
            await self.inbox.put(value=Batch(generation, tp, fresh, tracker))

    async def _next_offset(self, tp: TP) -> int:
        if tp in self._expected:
            return self._expected[tp]
        committed = self._committed_offset[tp]
        earliest: int = (await self.earliest_offsets(tp))[tp]
        # A committed offset below the earliest was overtaken by retention: those records no longer exist.
        return earliest if committed is None else max(int(committed), earliest)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterable[TP]:
        return [tp for tp in self._trackers if topics is None or tp in topics or tp.topic in topics]

    def _new_offset(self, tp: TP) -> int | None:
        tracker = self._trackers.get(tp)
        return None if tracker is None else tracker.position

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's stall detector counts its own streams; ours is the worker's liveness check."""


class DurableProducer(driver.Producer):  # type: ignore[misc]
    """Faust's producer, idempotent: a retried send is stored once, in order, on all in-sync replicas."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """A Faust transport whose consumer delivers batches into `inbox`."""

    Consumer = BatchConsumer
    Producer = DurableProducer

    def __init__(self, url: Any, app: faust.App, inbox: Any) -> None:
        super().__init__(url, app)
        self._inbox = inbox

    def create_consumer(self, *args: Any, **kwargs: Any) -> BatchConsumer:
        """Make the consumer and connect it with the inbox."""
        consumer: BatchConsumer = super().create_consumer(*args, **kwargs)
        consumer.inbox = self._inbox
        return consumer
