"""The processor around a `Join`: many records in, one joined result out, all of them acknowledged together."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from google.protobuf.message import Message

from multimood.bus.acks import Limits
from multimood.bus.contact import Contact
from multimood.bus.delivery import Addressed, Bus, Delivery, Said
from multimood.bus.envelope import Event, decode
from multimood.bus.retry import code_of
from multimood.clock import loop_time
from multimood.errors import InvalidEventError
from multimood.join import AlreadyJoined, Join, Joined
from multimood.telemetry import Tally
from multimood.topics import Topic

logger = logging.getLogger(__name__)

Part = Event[Message]
JoinedParts = Joined[Part, Delivery]
Ending = tuple[JoinedParts, list[Delivery]]
"""A joined record, and what came of its key while it was being finished."""

RECOVERED_IDS = 4_000
_outcomes = Tally("multimood_joins", "Joins by outcome", ("service", "outcome"))
TOGETHER: Final = 128
"""So many joined records leave in one go, at most: enough to share the cost, few enough that none waits long."""
BATCHES: Final = 64
"""On their way at once: those of one partition go one after another, and the others must not wait for them."""
PUT_AWAY: Final = 512
"""Parts of more bytes wait unparsed: a vector is not held twice. Parsing again takes less than a microsecond."""
LIMITS: Final = Limits(records=10_000)
"""Parts wait for each other: many more are in work than in a service that can do something about each at once."""


class Joining:
    """Feeds a join and finishes what comes out of it.

    `finish` does whatever makes a joined record durable; when it returns, the records behind it are acknowledged. It is
    called for up to `concurrency` keys at once. What it raises sends the records behind it to the dead letters.

    A joined record that only has to be published needs no `finish`: `says` makes the output (None: nothing is said),
    and those of a batch are sent together.
    """

    def __init__(
        self,
        service: str,
        bus: Bus,
        join: Join[Part, Delivery],
        finish: Callable[[JoinedParts], Awaitable[None]] | None = None,
        *,
        says: Callable[[JoinedParts], Said | None] = lambda _joined: None,
        owns: Sequence[Topic],
        recovers: Sequence[tuple[Topic, int | None]] = (),
        concurrency: int = 512,
        limits: Limits = LIMITS,
    ) -> None:
        self.recovers = recovers
        self.limits = limits
        self._service = service
        self._bus = bus
        self._join = join
        self._finish = finish
        self._says = says
        self._owns = frozenset(topic.name for topic in owns)
        self._at_once = concurrency if finish is not None else BATCHES
        self._finishing: set[asyncio.Task[None]] = set()
        self._joined: list[Ending] = []
        """To be published together, at the end of the batch that is being taken at the latest."""
        self._latecomers: dict[str, list[Delivery]] = {}
        """By key that is being finished: records that came meanwhile. They may not be acknowledged before it is."""
        self._room = asyncio.Event()
        self._timer: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._draining = False

    @property
    def held(self) -> int:
        """Records that wait for another part: for somebody else."""
        return self._join.held

    def recover(self, _topic: Topic, event: Part) -> None:
        """Note that this utterance was finished before."""
        self._join.end(event.utterance)

    async def process(self, deliveries: Sequence[Delivery]) -> None:
        """Add the parts; finish what is complete."""
        if self._timer is None:
            self._timer = asyncio.create_task(self._expire())
            self._timer.add_done_callback(self._ended)
        now = loop_time()
        for delivery in deliveries:
            if delivery.moved:  # while an earlier one of these waited
                break
            record = delivery.record
            try:
                event = decode(delivery.topic, record.value, record.headers, record.key, delivery.received_at_us)
            except InvalidEventError as error:
                self._publish()
                if delivery.topic.name in self._owns:
                    await self._bus.dead_letter(delivery, error, 1)
                    now = loop_time()
                self._count("invalid")
                delivery.done()
                continue
            joined = self._add(event, delivery, now)
            if joined is not None and await self._begin(joined):
                now = loop_time()
        self._publish()
        self._wake.set()

    def _add(self, event: Part, delivery: Delivery, now: float) -> JoinedParts | None:
        key = event.utterance
        try:
            joined = self._join.add(key, delivery.topic.name, event, delivery, now)
        except AlreadyJoined:
            self._count("late")
            latecomers = self._latecomers.get(key)
            if latecomers is None:
                delivery.done()
            else:
                latecomers.append(delivery)
            return None
        if joined is None and len(delivery.record.value) > PUT_AWAY:
            event.put_away()
        return joined

    async def _begin(self, joined: JoinedParts) -> bool:
        """Finish it, at once or with others; tells whether time may have passed."""
        # Before anything else: the join has forgotten the key's records, and only this knows that they are not done.
        latecomers: list[Delivery] = []
        self._latecomers[joined.key] = latecomers
        if self._finish is None:
            self._joined.append((joined, latecomers))
            if len(self._joined) < TOGETHER:
                return False
            self._publish()
            await self._await_room()
            return True
        await self._await_room()
        self._start(self._end(self._finish, joined, latecomers))
        return True

    def _publish(self) -> None:
        """Begin to send what was joined."""
        if self._joined:
            together, self._joined = self._joined, []
            self._start(self._end_all(together))

    def _start(self, ending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(ending)
        self._finishing.add(task)
        task.add_done_callback(self._ended)

    async def _await_room(self) -> None:
        while len(self._finishing) >= self._at_once:
            self._room.clear()  # not asyncio.wait: it would visit every one of hundreds, for each that begins
            await self._room.wait()

    async def _end(
        self, finish: Callable[[JoinedParts], Awaitable[None]], joined: JoinedParts, latecomers: list[Delivery]
    ) -> None:
        try:
            await finish(joined)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not lose the records behind it
            await self._give_up(joined, latecomers, error)
        else:
            self._conclude(joined, latecomers)

    async def _end_all(self, together: Sequence[Ending]) -> None:
        errors: list[BaseException | None] = []
        outputs: list[Addressed] = []
        said: list[int] = []
        for number, (joined, _) in enumerate(together):
            try:
                says = self._says(joined)
            except Exception as raised:  # noqa: BLE001 - see _end
                errors.append(raised)
                continue
            errors.append(None)
            if says is not None:
                outputs.append((*says, joined.tickets[0].record.partition))
                said.append(number)
        for number, outcome in zip(said, await self._bus.emit_all(outputs), strict=True):
            errors[number] = outcome
        for (joined, latecomers), error in zip(together, errors, strict=True):
            if error is None:
                self._conclude(joined, latecomers)
            elif isinstance(error, asyncio.CancelledError):
                raise error
            else:
                await self._give_up(joined, latecomers, error)

    async def _give_up(self, joined: JoinedParts, latecomers: list[Delivery], error: BaseException) -> None:
        logger.error("dead letter", extra={"code": code_of(error)}, exc_info=error)
        for delivery in joined.tickets:
            await self._bus.dead_letter(delivery, error, 1)
        self._join.reopen(joined.key)
        self._conclude(joined, latecomers, "dead_letter")

    def _conclude(self, joined: JoinedParts, latecomers: list[Delivery], outcome: str = "") -> None:
        self._count(outcome or ("complete" if joined.complete else "expired"))
        if self._latecomers.get(joined.key) is latecomers:  # else the key began anew and is being finished again
            del self._latecomers[joined.key]
        for delivery in (*joined.tickets, *latecomers):
            delivery.done()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._finishing.discard(task)
        self._room.set()
        if self._draining:
            return
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:  # the records behind it will never be done, or no deadline will pass any more
            self._bus.crash(error)

    async def _expire(self) -> None:
        contact = Contact(self._bus.reachable)
        while True:
            embargo_s = await contact.embargo_s()
            for joined in self._join.expire(loop_time() if embargo_s == 0 else float("-inf")):
                await self._begin(joined)
            self._publish()
            self._wake.clear()
            deadline = self._join.next_deadline()
            wait = None if deadline is None else contact.look_s(max(0.001, deadline - loop_time(), embargo_s))
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                continue

    def reset(self) -> None:
        """Forget pending joins: their records will be delivered again to whoever owns the partition then.

        All of them, because every rebalance of the group takes all partitions and reads each from its committed offset.
        What is being finished goes on; its records are recognised when they come again.
        """
        self._join.clear()

    async def drain(self, grace_s: float) -> None:
        """Let what is being finished end; pending joins stay unacknowledged and are read again by the next owner."""
        self._draining = True
        if self._timer is not None:
            self._timer.cancel()
        if self._finishing:
            await asyncio.wait(self._finishing, timeout=grace_s)
        unfinished = list(self._finishing)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)

    def _count(self, outcome: str) -> None:
        _outcomes.add(self._service, outcome)
