"""What reaches a service, whatever fetching and rebalancing do: all records, in order, none done that was not.

The consumer is the real one without Faust's start: its fetches, seeks and commits go to a broker made of lists, which
loses what a rebalance orphans, leaves holes, repeats, refuses commits, and takes partitions away in the middle.
"""

import asyncio
import logging
import random
from collections import deque
from types import SimpleNamespace
from typing import Any

from aiokafka.errors import KafkaConnectionError
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st

from multimood.bus.acks import Limits
from multimood.bus.transport import Batch, BatchConsumer

TPS = (TP("said", 0), TP("said", 1))


class Broker:
    """Two partitions with holes, one group."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.offsets: dict[TP, list[int]] = {}
        for tp in TPS:
            offset, found = 0, []
            for _ in range(60):
                offset += chance.choice((1, 1, 1, 1, 3))
                found.append(offset)
            self.offsets[tp] = found
        self.position = dict.fromkeys(TPS, 0)
        self.committed: dict[TP, int | None] = dict.fromkeys(TPS)

    def fetch(self, tps: set[TP], most: int) -> dict[TP, list[Any]]:
        found = {}
        for tp in tps:
            offsets = [offset for offset in self.offsets[tp] if offset >= self.position[tp]][:most]
            if offsets:
                self.position[tp] = offsets[-1] + 1
                found[tp] = [SimpleNamespace(offset=offset, value=b"x" * 10) for offset in offsets]
        return found

    def goes_on(self, found: dict[TP, list[Any]]) -> bool:
        """Tell whether more records follow on all of these: a loss at the very end shows only when they do."""
        return all(records[-1].offset < self.offsets[tp][-1] for tp, records in found.items())


class Consumer(BatchConsumer):
    """The real one, on the other broker."""

    def __init__(self, broker: Broker, limits: Limits) -> None:  # Faust's own is not wanted
        self.broker = broker
        self.limits = self._limits = limits
        self.inbox: Any = SimpleNamespace(put=self._put)
        self.batches: deque[Batch] = deque()
        self.epoch, self.joined, self.beat = 0, True, 0.0
        self._trackers, self._expected, self._fetched, self._dropped = {}, {}, {}, set()
        self._read_offset = {}
        self._committed_offset = dict.fromkeys(TPS)
        self.flow_active = True
        self._active_partitions = set(TPS)

    async def _put(self, batch: Batch) -> None:
        self.batches.append(batch)

    async def _getmany(self, active_partitions: set[TP], timeout: float) -> dict[TP, list[Any]]:  # noqa: ASYNC109
        found = self.broker.fetch(active_partitions, self.broker.chance.randint(1, 12))
        self.flow_active = self.broker.chance.random() > 0.05  # a rebalance may have begun meanwhile
        if self.broker.goes_on(found) and self.broker.chance.random() < 0.1:
            return {}  # orphaned: the position moved, the records are gone
        return found

    async def earliest_offsets(self, *tps: TP) -> dict[TP, int]:
        if self.broker.chance.random() < 0.05:
            raise KafkaConnectionError
        return {tp: self.broker.offsets[tp][0] for tp in tps}

    async def seek_wait(self, partitions: dict[TP, int]) -> None:
        if self.broker.chance.random() < 0.1:
            raise KafkaConnectionError
        self.broker.position.update(partitions)

    async def sleep(self, *_args: Any) -> None:
        return None

    async def wait(self, *_args: Any) -> None:
        self.flow_active = True

    can_resume_flow: Any = None

    def _get_active_partitions(self) -> set[TP]:
        return set(TPS)

    def assignment(self) -> set[TP]:
        return set(TPS)

    async def _commit(self, offsets: dict[TP, int]) -> bool:
        if self.broker.chance.random() < 0.3:
            return False
        self.broker.committed.update(offsets)
        return True

    async def commit(self, *_args: Any, **_options: Any) -> bool:
        offsets = self._filter_committable_offsets(self._filter_tps_with_pending_acks())
        return bool(offsets) and await self._commit_offsets(offsets)

    def rebalance(self) -> None:
        """What Faust does after `on_partitions_revoked`: positions and known commits are the broker's again."""
        for tp in TPS:
            self._committed_offset[tp] = self.broker.committed[tp]
            self.broker.position[tp] = self.broker.committed[tp] or 0


class Service:
    """Takes batches, does records in any order, and checks what it is given."""

    def __init__(self, broker: Broker, consumer: Consumer) -> None:
        self.broker = broker
        self.consumer = consumer
        self.ever_done: dict[TP, set[int]] = {tp: set() for tp in TPS}
        self.last = dict.fromkeys(TPS, 0)
        self.open: list[tuple[Batch, int]] = []

    def take(self) -> None:
        while self.consumer.batches:
            batch = self.consumer.batches.popleft()
            if batch.tracker.closed:
                continue
            assert batch.tracker.held <= self.consumer.limits.records
            expected = [offset for offset in self.broker.offsets[batch.tp] if offset > self.last[batch.tp]]
            offsets = [record.offset for record in batch.records]
            assert offsets == expected[: len(offsets)], "a record was left out, repeated or came out of order"
            self.last[batch.tp] = offsets[-1]
            self.open.extend((batch, offset) for offset in offsets)

    def do_one(self) -> None:
        if self.open and self.broker.chance.random() < 0.8:
            batch, offset = self.open.pop(self.broker.chance.randrange(len(self.open)))
            self.ever_done[batch.tp].add(offset)
            batch.tracker.done(offset)

    def check_commits(self) -> None:
        for tp in TPS:
            undone = [offset for offset in self.broker.offsets[tp] if offset not in self.ever_done[tp]]
            committed = self.broker.committed[tp] or 0
            assert committed <= min(undone, default=10**9), "committed past a record that was never done"

    async def lose_partitions(self) -> None:
        """And get them back. What is open may still be done, for nothing."""
        await self.consumer.commit()
        self.consumer.forget()
        self.consumer.rebalance()
        self.last.update({tp: (self.broker.committed[tp] or 0) - 1 for tp in TPS})

    def through(self) -> bool:
        return not self.open and all(self.last[tp] == self.broker.offsets[tp][-1] for tp in TPS)


@given(seed=st.integers(0, 10**9), records=st.integers(1, 20), size=st.sampled_from([15, 1000]))
@settings(max_examples=100, deadline=None)
def test_everything_arrives_in_order_and_nothing_is_taken_for_done(seed: int, records: int, size: int) -> None:
    logging.disable(logging.CRITICAL)
    broker = Broker(random.Random(seed))
    consumer = Consumer(broker, Limits(records=records, bytes=size, span=40))
    service = Service(broker, consumer)

    async def scenario() -> None:
        for step in range(4000):
            await consumer._step()
            if broker.chance.random() < 0.7:  # else batches lie in the inbox when the partitions go
                service.take()
            service.do_one()
            if broker.chance.random() < 0.2:
                await consumer.commit()
            if step < 800 and broker.chance.random() < 0.02:
                await service.lose_partitions()
            service.check_commits()
            if step >= 800 and service.through():
                break
        assert service.through(), "a record never arrived"
        for _ in range(100):
            await consumer.commit()
        assert broker.committed == {tp: broker.offsets[tp][-1] + 1 for tp in TPS}, "a failed commit was not made again"

    try:
        asyncio.run(scenario())
    finally:
        logging.disable(logging.NOTSET)


def test_the_partitions_of_a_topic_share_what_may_be_in_work() -> None:
    consumer = BatchConsumer.__new__(BatchConsumer)
    consumer.limits = Limits(records=500, together=1_200)
    consumer._share({TP("said", number) for number in range(12)} | {TP("screened", 0)})
    assert consumer._limits == Limits(records=100, together=1_200)
