"""The seam to Faust: raw records reach us as one list per partition, not as one coroutine chain per message.

Membership, assignment, rebalancing, fetching, flow control, commits and lifecycle stay Faust's. What changes is the
unit of delivery (a `Batch`), the source of the committed offset (an `OffsetTracker` instead of Faust's ack index), and
back-pressure, which is per partition: one that has too much in work is not read further, the others are.

What keeps a rebalance from losing records, each found by killing workers under load or by reading what could happen:

- A batch carries the tracker of its assignment, closed when the partition is taken away: what is stale is recognised.
- Offsets must follow on from the last one, at first from the committed one. A fetch that a rebalance orphans moves the
  position and loses its records, so a hole is sought again; met right after that, it is a real one (compaction).
- Records that were fetched but not delivered, because the flow stopped meanwhile, are sought again.
- A commit that failed is not taken for done, and one that is not answered is given up and made again.
"""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import faust
import mode
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.utils.futures import maybe_async

from multimood.bus.acks import Limits, OffsetTracker
from multimood.bus.connection import renew_password
from multimood.bus.refusals import Refusals, explained
from multimood.errors import RefusedError, UnavailableError
from multimood.settings import KafkaSettings

logger = logging.getLogger(__name__)

COMMIT_S: Final = 5.0
COMMIT_ON_REVOKE_S: Final = 2.0
FETCH_WAIT_MS: Final = 500
"""How long the broker keeps a fetch that finds nothing. It answers a connection's requests in order, so what else is
asked meanwhile waits as long."""
POLL_S: Final = 1.0
POLL_FULL_S: Final = 0.02
"""How soon a partition that was full is looked at again."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of one partition, of one assignment (`epoch`)."""

    epoch: int
    tp: TP
    records: Sequence[Any]
    tracker: OffsetTracker


class _Client(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust's "consumer thread", in the worker's own loop.

    Two threads take turns at the interpreter, so a second one makes nothing faster: every fetch and every commit would
    wait for it twice. And a worker whose loop hangs should miss its heartbeats, so that its partitions move.
    """

    wait_for_shutdown = False

    async def start(self) -> None:
        await self._default_start()

    async def maybe_start(self) -> bool:
        return bool(await mode.Service.maybe_start(self))

    async def stop(self) -> None:
        await mode.Service.stop(self)

    async def on_stop(self) -> None:
        await self.on_thread_stop()

    def _stopped_set(self) -> None:
        mode.Service._stopped_set(self)  # noqa: SLF001

    async def _stop_children(self) -> None:
        await self._default_stop_children()

    async def _stop_futures(self) -> None:
        await self._default_stop_futures()

    async def _stop_exit_stacks(self) -> None:
        await self._default_stop_exit_stacks()

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await maybe_async(fun(*args, **kwargs))

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no settings for these.
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001
        consumer._client_rack = transport.rack or None  # noqa: SLF001
        return consumer

    def check(self) -> None:
        """See `BatchConsumer.check`."""
        if self._consumer is not None and self._consumer._coordinator is not None:  # noqa: SLF001
            self._consumer._coordinator.check_errors()  # noqa: SLF001

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit; a broker that cannot take it now is asked again at the next interval instead of ending the worker."""
        consumer, assigned = self._ensure_consumer(), self.assignment()
        current = {
            driver.ensure_aiokafka_TP(tp): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in assigned
        }
        if not current:
            return False
        try:
            await asyncio.wait_for(consumer.commit(current), COMMIT_S)
        except (TimeoutError, KafkaError) as error:
            self.consumer.tell("offsets were not committed and will be again", error, "committing")
            return False
        return True


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """Puts batches into `inbox` and commits what the trackers allow."""

    inbox: Any
    limits: Limits
    """Of the processor; `_limits` are those of each partition of this assignment."""
    _limits = Limits()
    on_failure: Callable[[BaseException], None]
    explain: Callable[[BaseException, str], UnavailableError]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.epoch = 0
        """Number of the assignment; also counts those that were lost."""
        self.joined = False
        """The group has given us an assignment, if only an empty one, and not taken it back."""
        self.beat = time.monotonic()
        """When records were last looked for."""
        self.refusals = Refusals()
        """That the brokers do not let us read, or commit: it is tried again and again."""
        self._trackers: dict[TP, OffsetTracker] = {}
        self._expected: dict[TP, int] = {}
        self._fetched: dict[TP, deque[Any]] = {}
        self._dropped: set[TP] = set()

    def _new_consumer_thread(self) -> _Client:
        return _Client(self, loop=self.loop, thread_loop=self.loop, beacon=self.beacon)

    @property
    def held(self) -> int:
        """Records delivered and not yet done, over all partitions."""
        return sum(tracker.held for tracker in self._trackers.values())

    def check(self) -> None:
        """Raise the KafkaError that keeps us out of our group, if one does: fetches go on without a membership."""
        self._thread.check()

    def renew_password(self) -> None:
        """Let new connections use the password that its file holds now."""
        consumer = self._thread._consumer  # noqa: SLF001
        if consumer is not None:
            renew_password(consumer._client, self.transport.settings)  # noqa: SLF001

    def heads(self) -> dict[TP, int]:
        """The lowest offset that is not done, of every partition that has one."""
        return {tp: tracker.head for tp, tracker in self._trackers.items() if tracker.head is not None}

    def committed(self, tp: TP) -> int | None:
        """Where reading of this partition began in this assignment, or what was committed since; None: nothing yet."""
        offset: int | None = self._committed_offset[tp]
        return offset

    def tell(self, what: str, error: BaseException, doing: str) -> None:
        """Log what the brokers did not do; keep it, if they refuse to."""
        found = self.explain(error, doing)
        self.refusals.note(doing, found)
        level = logging.ERROR if isinstance(found, RefusedError) else logging.WARNING
        logger.log(level, what, extra={"cause": type(error).__name__, "code": found.code, "reason": str(found)})

    # --- assignment ------------------------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commit what is done while we may still, then forget everything: a rebalance takes all partitions."""
        try:
            await asyncio.wait_for(self.commit(), COMMIT_ON_REVOKE_S)
        except TimeoutError:
            logger.warning("no commit before a rebalance: some records will be seen again")
        self.forget()
        await super().on_partitions_revoked(revoked)

    def forget(self) -> None:
        """Close this assignment: nothing of it is delivered or committed any more."""
        self.epoch += 1
        self.joined = False
        for tracker in self._trackers.values():
            tracker.close()
        for state in (self._trackers, self._expected, self._fetched, self._dropped):
            state.clear()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Note that the group knows us, and how many partitions share what may be in work."""
        self._share(assigned)
        await super().on_partitions_assigned(assigned, generation_id)
        self.joined = True

    def _share(self, assigned: set[TP]) -> None:
        per_topic = Counter(tp.topic for tp in assigned)
        self._limits = self.limits.shared(max(per_topic.values(), default=1))

    # --- fetching --------------------------------------------------------------------------------------------------

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                self.beat = time.monotonic()
                await self._step()
        except (*self.consumer_stopped_errors, asyncio.CancelledError):
            if not self.transport.app.should_stop:
                raise
        except Exception as error:
            self.on_failure(error)
            raise

    async def _step(self) -> None:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
            return
        sought = await self._seek_dropped()
        active = self._get_active_partitions() - self._fetched.keys()
        pause = POLL_FULL_S if self._fetched else POLL_S
        epoch = self.epoch
        found: Mapping[TP, Sequence[Any]] = {}
        if active:
            found = await self._fetch(active, pause)
        else:
            await self.sleep(pause)
        for tp, records in found.items():
            await self._accept(tp, records, after_seek=tp in sought)
        if epoch == self.epoch:
            self._dropped |= sought - found.keys()  # nothing came: whether something was lost shows the next time
        await self._deliver()

    async def _fetch(self, active: set[TP], within_s: float) -> Mapping[TP, Sequence[Any]]:
        try:
            found: Mapping[TP, Sequence[Any]] = await self._getmany(active_partitions=active, timeout=within_s)
        except TopicAuthorizationFailedError as error:
            # The client fetches it again, from where it was, and nothing of the other topics is lost.
            self.tell("reading waits for leave", error, "reading")
            await self.sleep(POLL_S)
            return {}
        return found

    async def _accept(self, tp: TP, records: Sequence[Any], *, after_seek: bool) -> None:
        """Take fetched records, unless they do not follow on or the flow stopped: then they are fetched again."""
        epoch = self.epoch
        try:
            expected = await self._next_offset(tp, records[0].offset)
        except KafkaError:
            self._dropped.add(tp)
            return
        if not self.flow_active or epoch != self.epoch:
            self._dropped.add(tp)
            return
        if records[0].offset > expected and not after_seek:
            self._dropped.add(tp)
            return
        fresh = records
        if records[0].offset < expected:
            fresh = [record for record in records if record.offset >= expected]
        if fresh:
            self._expected[tp] = fresh[-1].offset + 1
            self._read_offset[tp] = fresh[-1].offset
            self._fetched[tp] = deque(fresh)

    async def _seek_dropped(self) -> set[TP]:
        """Seek what has to be fetched again; gives those for which the next fetch begins where it should."""
        sought = set()
        for tp in tuple(self._dropped):
            try:
                await self.seek_wait({tp: await self._next_offset(tp)})
            except (TimeoutError, KafkaError) as error:
                logger.warning("a partition could not be sought", extra={"cause": type(error).__name__})
                await self.sleep(POLL_S)
                break
            self._dropped.discard(tp)
            sought.add(tp)
        return sought

    async def _deliver(self) -> None:
        for tp, waiting in tuple(self._fetched.items()):
            if self._fetched.get(tp) is not waiting:
                return  # taken away while an earlier one was put
            tracker = self._trackers.get(tp)
            if tracker is None:
                tracker = self._trackers[tp] = OffsetTracker(waiting[0].offset)
            taken = self._limits.take(tracker, waiting)
            if not waiting:
                del self._fetched[tp]
            if taken:
                await self.inbox.put(Batch(self.epoch, tp, taken, tracker))

    async def _next_offset(self, tp: TP, found: int | None = None) -> int:
        """Where the next record should be; `found` is where one is."""
        if tp in self._expected:
            return self._expected[tp]
        committed = int(self._committed_offset[tp] or 0)
        if found is not None and found <= committed:
            return committed  # as nearly always: nothing needs to be asked
        # A committed offset below the earliest was overtaken by retention: those records no longer exist.
        earliest: int = (await self.earliest_offsets(tp))[tp]
        return max(committed, earliest)

    # --- committing ------------------------------------------------------------------------------------------------

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterable[TP]:
        return [tp for tp in self._trackers if topics is None or tp in topics or tp.topic in topics]

    def _new_offset(self, tp: TP) -> int | None:
        tracker = self._trackers.get(tp)
        return None if tracker is None else tracker.position

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:  # noqa: ARG002
        """Faust's own takes offsets for committed that were not. What they stand for is durable: nothing to flush."""
        trackers = {tp: self._trackers.get(tp) for tp in offsets}
        if not await self._commit(offsets):
            return False
        for tp, offset in offsets.items():
            if trackers[tp] is not None and self._trackers.get(tp) is trackers[tp]:
                self._committed_offset[tp] = offset
        return True

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's stall detector counts its own streams; ours is the worker's liveness check."""


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """A Faust transport whose consumer delivers batches into `inbox` and tells `on_failure` what ends it."""

    Consumer = BatchConsumer

    def __init__(
        self,
        url: Any,
        app: faust.App,
        inbox: Any,
        limits: Limits,
        on_failure: Callable[[BaseException], None],
        *,
        settings: KafkaSettings,
    ) -> None:
        super().__init__(url, app)
        self.rack = settings.client_rack
        self.settings = settings
        self._inbox = inbox
        self._limits = limits
        self._on_failure = on_failure

    def create_consumer(self, *args: Any, **kwargs: Any) -> BatchConsumer:
        """Make the consumer and connect it with the inbox."""
        consumer: BatchConsumer = super().create_consumer(*args, **kwargs)
        consumer.inbox = self._inbox
        consumer.limits = self._limits
        consumer.on_failure = self._on_failure
        consumer.explain = lambda error, doing: explained(error, self.settings, doing)
        return consumer
