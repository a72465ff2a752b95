"""The processor around a `Join`: many records in, one joined result out, all of them acknowledged together."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from google.protobuf.message import Message

from multimood.bus.delivery import Bus, Delivery
from multimood.bus.envelope import Event, decode
from multimood.bus.retry import code_of
from multimood.errors import InvalidEventError
from multimood.join import AlreadyJoined, Join, Joined
from multimood.telemetry import meter
from multimood.topics import Topic

logger = logging.getLogger(__name__)

Part = Event[Message]
JoinedParts = Joined[Part, Delivery]

RECOVERED_IDS = 4_000


class Joining:
    """Feeds a join and finishes what comes out of it.

    `finish` does whatever makes a joined record durable; when it returns, the records behind it are acknowledged. It is
    called for up to `concurrency` keys at once. What it raises sends the records behind it to the dead letters.
    """

    def __init__(
        self,
        service: str,
        bus: Bus,
        join: Join[Part, Delivery],
        finish: Callable[[JoinedParts], Awaitable[None]],
        *,
        owns: Sequence[Topic],
        key_of: Callable[[Part], str],
        recovers: Sequence[tuple[Topic, int | None]] = (),
        concurrency: int = 512,
    ) -> None:
        self.recovers = recovers
        self._service = service
        self._bus = bus
        self._join = join
        self._finish = finish
        self._owns = frozenset(topic.name for topic in owns)
        self._key_of = key_of
        self._concurrency = concurrency
        self._finishing: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._outcomes = meter().create_counter("multimood.joins", description="Joins by outcome")

    def recover(self, _topic: Topic, event: Part) -> None:
        """Note that this key was finished before."""
        self._join.end(self._key_of(event))

    async def process(self, deliveries: Sequence[Delivery]) -> None:
        """Add the parts; finish what is complete."""
        if self._timer is None:
            self._timer = asyncio.create_task(self._expire())
        for delivery in deliveries:
            record = delivery.record
            try:
                event = decode(delivery.topic, record.value, record.headers, record.key, delivery.received_at_us)
            except InvalidEventError as error:
                if delivery.topic.name in self._owns:
                    await self._bus.dead_letter(delivery, error, 1)
                self._count("invalid")
                delivery.done()
                continue
            try:
                joined = self._join.add(self._key_of(event), delivery.topic.name, event, delivery, time.monotonic())
            except AlreadyJoined:
                self._count("late")
                delivery.done()
                continue
            if joined is not None:
                await self._begin(joined)
        self._wake.set()

    async def _begin(self, joined: JoinedParts) -> None:
        while len(self._finishing) >= self._concurrency:
            await asyncio.wait(self._finishing, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.create_task(self._end(joined))
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)

    async def _end(self, joined: JoinedParts) -> None:
        try:
            await self._finish(joined)
        except Exception as error:
            logger.exception("dead letter", extra={"code": code_of(error)})
            for delivery in joined.tickets:
                await self._bus.dead_letter(delivery, error, 1)
            self._count("dead_letter")
        else:
            self._count("complete" if joined.complete else "expired")
        for delivery in joined.tickets:
            delivery.done()

    async def _expire(self) -> None:
        while True:
            for joined in list(self._join.expire(time.monotonic())):
                await self._begin(joined)
            self._wake.clear()
            deadline = self._join.next_deadline()
            wait = None if deadline is None else max(0.001, deadline - time.monotonic())
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                continue

    def reset(self) -> None:
        """Forget pending joins: their records will be delivered again to whoever owns the partition then."""
        self._join.clear()

    async def drain(self, grace_s: float) -> None:
        """Let what is being finished end; pending joins stay unacknowledged and are read again by the next owner."""
        if self._timer is not None:
            self._timer.cancel()
        if self._finishing:
            await asyncio.wait(self._finishing, timeout=grace_s)

    def _count(self, outcome: str) -> None:
        self._outcomes.add(1, {"service": self._service, "outcome": outcome})
