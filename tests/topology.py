"""The services' real processors around topics in memory: bytes go in, time passes, bytes come out.

What stands in for the broker keeps records as bytes and committed offsets by group. What stands in for the worker does
what the real one does around a processor: it opens offsets, delivers within the limits, reads back what was published
before the first record of a partition, commits, closes and resets when partitions move. Everything else (decoding,
acknowledgements, retries, dead letters, headers) is the product's own. Meant for virtual time.

Nothing is committed unless a test says so or a member leaves in order: a crash then reads as much again as it ever can.
"""

import asyncio
import contextlib
import zlib
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from google.protobuf.message import Message

from multimood.bus import Bus, Delivery, Processor
from multimood.bus.acks import Limits, OffsetTracker
from multimood.bus.envelope import decode, encode_headers, output
from multimood.bus.outbox import Outbox
from multimood.bus.transport import POLL_FULL_S
from multimood.bus.worker import CLOCK_SLACK_MS
from multimood.clock import now_us
from multimood.errors import InvalidEventError, UnsendableError
from multimood.topics import Topic

Headers = Sequence[tuple[str, bytes | None]]
Tp = tuple[str, int]

SEND_S = 0.002
LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """A record as a client gives it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp: int


@dataclass(frozen=True, slots=True)
class Service:
    """What a worker is made of."""

    name: str
    inputs: Sequence[Topic]
    build: Callable[[Bus], Processor]


class Broker:
    """Topics, and how far each group is."""

    def __init__(self, partitions: int, send_s: float) -> None:
        self.partitions = partitions
        self.send_s = send_s
        """From handing a record over to its acknowledgement; halfway it is durable."""
        self.logs: defaultdict[Tp, list[Record]] = defaultdict(list)
        self.committed: defaultdict[tuple[str, Tp], int] = defaultdict(int)
        self.readers: set[asyncio.Event] = set()
        self.up = asyncio.Event()
        """Cleared: nothing becomes durable until it is set again."""
        self.up.set()

    def append(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> Record:
        """Make a record durable."""
        partition = zlib.crc32(key or b"") % self.partitions
        log = self.logs[topic, partition]
        record = Record(topic, partition, len(log), key, value, tuple(headers), now_us() // 1000)
        log.append(record)
        for reader in self.readers:
            reader.set()
        return record

    def records(self, topic: str) -> list[Record]:
        """All records of a topic, in the order in which they became durable."""
        found = [record for partition in range(self.partitions) for record in self.logs[topic, partition]]
        return sorted(found, key=lambda record: record.timestamp)


class Member:
    """One worker of a service."""

    def __init__(self, broker: Broker, service: Service) -> None:
        self.crashed: BaseException | None = None
        self.dead = asyncio.Event()
        self.moments = 0
        """Instants so far at which what happens makes a difference: before a record is durable, and before that is
        known here."""
        self.on_moment: Callable[[int, bool], None] = lambda _number, _is_durable: None
        """Told of each, and whether the record is durable. What it raises then, the sender raises."""
        self._broker = broker
        self._service = service
        self._group = service.name
        self._trackers: dict[Tp, OffsetTracker] = {}
        self._positions: dict[Tp, int] = {}
        self._news = asyncio.Event()
        broker.readers.add(self._news)
        outbox = Outbox(service.name, self, LARGEST)
        self.processor = service.build(Bus(outbox.emit, outbox.dead_letter, self._crash))
        self._limits = getattr(self.processor, "limits", Limits())
        self._consuming = asyncio.create_task(self._consume())
        self._consuming.add_done_callback(self._consumed)

    # --- partitions ------------------------------------------------------------------------------------------------

    def assign(self, partitions: Iterable[int]) -> None:
        """Take partitions over: learn what was published for them, then read on from where the group is."""
        for partition in partitions:
            for topic in self._service.inputs:
                tp = (topic.name, partition)
                self._positions[tp] = self._broker.committed[self._group, tp]
                self._trackers[tp] = OffsetTracker(self._positions[tp])
            for topic, last in self.processor.recovers:
                self._recover(topic, partition, last)
        self._news.set()

    def _recover(self, topic: Topic, partition: int, last: int | None) -> None:
        log = self._broker.logs[topic.name, partition]
        if last is not None:
            since = self._reads_again_from(partition)
            begin = next((record.offset for record in log if record.timestamp >= since), len(log))
            log = log[max(0, min(begin, len(log) - last)) :]
        for record in log:
            with contextlib.suppress(InvalidEventError):
                self.processor.recover(topic, decode(topic, record.value, record.headers, record.key, now_us()))

    def _reads_again_from(self, partition: int) -> int:
        unread = [self._broker.logs[tp][self._positions[tp] :] for tp in self._trackers if tp[1] == partition]
        return min([now_us() // 1000, *(log[0].timestamp for log in unread if log)]) - CLOCK_SLACK_MS

    def revoke(self, *, commit: bool = True) -> None:
        """Give all partitions up; `commit=False`: too late to say how far it is."""
        if commit:
            self.commit()
        for tracker in self._trackers.values():
            tracker.close()
        self._trackers.clear()
        self._positions.clear()
        self.processor.reset()

    def commit(self) -> None:
        """Commit what may be."""
        for tp, tracker in self._trackers.items():
            self._broker.committed[self._group, tp] = tracker.position

    @property
    def held(self) -> int:
        """Records delivered and not acknowledged."""
        return sum(tracker.held for tracker in self._trackers.values())

    # --- life ------------------------------------------------------------------------------------------------------

    def _crash(self, error: BaseException) -> None:
        self.crashed = self.crashed or error

    def _consumed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._crash(error)

    async def _consume(self) -> None:
        while True:
            self._news.clear()
            took = False
            for tp in tuple(self._trackers):
                if batch := self._fetch(tp):
                    took = True
                    await self.processor.process(batch)
            if not took:
                is_full = any(self._positions[tp] < len(self._broker.logs[tp]) for tp in self._trackers)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), POLL_FULL_S if is_full else None)

    def _fetch(self, tp: Tp) -> list[Delivery]:
        tracker = self._trackers.get(tp)
        if tracker is None:
            return []
        topic = next(topic for topic in self._service.inputs if topic.name == tp[0])
        taken = self._limits.take(tracker, deque(self._broker.logs[tp][self._positions[tp] :]))
        self._positions[tp] += len(taken)
        return [Delivery(topic, record, tracker, now_us()) for record in taken]

    async def leave(self, grace_s: float = 15.0) -> None:
        """End in order: read no more, finish what was begun, commit."""
        self._stop_reading()
        await self.processor.drain(grace_s)
        self.commit()
        self.revoke()
        self.dead.set()

    async def die(self) -> None:
        """End as by SIGKILL: nothing is said any more."""
        self.dead.set()
        self._stop_reading()
        await self.processor.drain(0)
        self.revoke(commit=False)

    def _stop_reading(self) -> None:
        self._consuming.cancel()
        self._broker.readers.discard(self._news)

    # --- sending ---------------------------------------------------------------------------------------------------

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]], *, limit: int
    ) -> None:
        """See `Sender`."""
        if len(value or b"") > limit:
            raise UnsendableError(f"a record for {topic} has {len(value or b'')} bytes; at most {limit} are accepted")
        await asyncio.sleep(self._broker.send_s / 2)
        await self._broker.up.wait()
        await self._moment(is_durable=False)
        self._broker.append(topic, key, value, headers)
        await self._moment(is_durable=True)
        await asyncio.sleep(self._broker.send_s / 2)

    async def _moment(self, *, is_durable: bool) -> None:
        self.moments += 1
        self.on_moment(self.moments, is_durable)
        if self.dead.is_set():
            await asyncio.Event().wait()


class Topology:
    """Services between topics. Leaving it checks that no worker crashed on its own."""

    def __init__(self, *services: Service, partitions: int = 2, send_s: float = SEND_S) -> None:
        self.broker = Broker(partitions, send_s)
        self._services = {service.name: service for service in services}
        self.members: dict[str, list[Member]] = {service.name: [] for service in services}

    async def __aenter__(self) -> Self:
        for name in self._services:
            self.start(name)
        return self

    async def __aexit__(self, kind: object, *_exception: object) -> None:
        for members in self.members.values():
            for member in members:
                await member.die()
        crashes = [member.crashed for members in self.members.values() for member in members if member.crashed]
        if crashes and kind is None:
            raise crashes[0]

    # --- what the world does ---------------------------------------------------------------------------------------

    def publish(self, topic: Topic, *messages: Message, traceparent: str = "") -> list[Record]:
        """Publish events as their writer would."""
        return [
            self.raw(topic, one.SerializeToString(), out.key, encode_headers(out, "platform", traceparent))
            for one in messages
            for out in [output(topic, one)]
        ]

    def raw(self, topic: Topic, value: bytes | None, key: bytes | None = b"t/c", headers: Headers = ()) -> Record:
        """Publish any bytes."""
        return self.broker.append(topic.name, key, value, headers)

    def start(self, name: str) -> Member:
        """One more worker joins its group: all partitions move."""
        member = Member(self.broker, self._services[name])
        self.members[name].append(member)
        self.rebalance(name)
        return member

    async def leave(self, name: str, number: int = 0, grace_s: float = 15.0) -> None:
        """A worker ends in order."""
        await self.members[name].pop(number).leave(grace_s)
        self.rebalance(name)

    async def kill(self, name: str, number: int = 0) -> None:
        """A worker is gone at once; the others get its partitions, if there are any."""
        await self.members[name].pop(number).die()
        self.rebalance(name)

    def rebalance(self, name: str, *, commit: bool = True) -> None:
        """Every partition is taken from whoever has it and given to the members in turn."""
        members = self.members[name]
        for member in members:
            member.revoke(commit=commit)
        for number, member in enumerate(members):
            member.assign(range(number, self.broker.partitions, len(members)))

    def commit(self, name: str) -> None:
        """All workers of a service say how far they are."""
        for member in self.members[name]:
            member.commit()

    # --- what can be seen ------------------------------------------------------------------------------------------

    def messages(self, topic: Topic) -> list[Any]:
        """What a topic holds, decoded."""
        return [topic.message.FromString(record.value or b"") for record in self.broker.records(topic.name)]

    def letters(self, topic: Topic) -> list[Record]:
        """The dead letters of a topic."""
        return self.broker.records(topic.dead_letters)

    def lag(self, name: str) -> int:
        """Records of a service's inputs that it has not acknowledged."""
        self.commit(name)
        return sum(
            len(self.broker.logs[topic.name, partition]) - self.broker.committed[name, (topic.name, partition)]
            for topic in self._services[name].inputs
            for partition in range(self.broker.partitions)
        )


@contextlib.asynccontextmanager
async def reviving(topology: Topology, name: str, after_s: float = 1.0) -> AsyncIterator[None]:
    """While inside, a worker of the service that dies is followed by another."""

    async def revive() -> None:
        while True:
            await topology.members[name][0].dead.wait()
            await topology.kill(name)
            await asyncio.sleep(after_s)
            topology.start(name)

    task = asyncio.create_task(revive())
    try:
        yield
    finally:
        task.cancel()
