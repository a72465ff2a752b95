"""A service's process: Faust for membership and flow, a processor for the work, health, and an orderly end."""

import asyncio
import contextlib
import logging
import os
import signal
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faust
from aiokafka.errors import KafkaError
from faust.assignor.partition_assignor import PartitionAssignor
from faust.types import TP

from multimood import telemetry
from multimood.access import ACCESS
from multimood.bus.acks import Limits
from multimood.bus.connection import faust_credentials
from multimood.bus.delivery import Bus, Delivery, Processor
from multimood.bus.envelope import decode
from multimood.bus.filler import is_filler
from multimood.bus.outbox import Outbox
from multimood.bus.probe import Diagnosis
from multimood.bus.refusals import Refusals, explained
from multimood.bus.retry import code_of
from multimood.bus.sender import Sender
from multimood.bus.tail import PartitionTail
from multimood.bus.transport import Batch, BatchConsumer, BatchTransport
from multimood.bus.whole import Whole
from multimood.clock import now_us
from multimood.errors import ConfigurationError, InvalidEventError, RefusedError
from multimood.health import HealthServer
from multimood.settings import HealthSettings, KafkaSettings, TelemetrySettings
from multimood.topics import Topic

logger = logging.getLogger(__name__)

INBOX_BATCHES = 8
STALL_S = 120.0
PAUSE_S = 0.2
FLOW_S = 0.01
LONGEST_PAUSE_S = 5.0
CLOCK_SLACK_MS = 10_000
"""Outputs are looked for from so much before the first input that is read again: clocks differ."""
STOP_STEP_S = 4.0
STOP_S = 8.0
"""After the drain: then the process ends, whatever still hangs on a broker that does not answer."""


@dataclass(frozen=True)
class WorkerSettings:
    """What every worker reads from the environment."""

    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    health: HealthSettings = field(default_factory=HealthSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    drain_s: float = 15.0


class Worker:
    """Consumes `inputs` in the group of `service` and hands every partition's records to the processor.

    `build` makes the processor once the bus is there; `checks` are asked by /readyz beside the worker's own. `holds`
    counts the records that wait for something outside of this process: having no others is no stall.

    `fits` tells whether what the service depends on is what it was made for. It is asked before the first record is
    taken and, while it gives False because that cannot be told yet, again and again beside the work, and until it has
    given True the worker is not ready. A ConfigurationError from it ends the worker.

    `follows` are topics that it learns from whole, whatever partitions it has, before it takes the first record and
    while it works.

    All inputs' records of one partition number come to the same worker, whatever workers come and go.
    """

    def __init__(
        self,
        service: str,
        inputs: Sequence[Topic],
        build: Callable[[Bus], Processor],
        *,
        settings: WorkerSettings | None = None,
        checks: Mapping[str, Callable[[], Awaitable[bool]]] | None = None,
        fits: Callable[[], Awaitable[bool]] | None = None,
        on_stop: Sequence[Callable[[], Awaitable[None]]] = (),
        holds: Callable[[], int] = lambda: 0,
        follows: Mapping[Topic, Callable[[Any], None]] | None = None,
    ) -> None:
        self.service = service
        self.inputs = tuple(inputs)
        self._topics = {topic.name: topic for topic in self.inputs}
        self.settings = settings or WorkerSettings()
        self._sender = Sender(self.settings.kafka)
        outbox = Outbox(service, self._sender, self.settings.kafka.max_message_bytes)
        self._tail = PartitionTail(self.settings.kafka)
        bus = Bus(outbox.emit, outbox.dead_letter, self._crash, outbox.emit_all, self._tail.reachable)
        self.processor = build(bus)
        self._checks = dict(checks or {})
        self._fits = fits
        self._is_fit = fits is None
        self._on_stop = on_stop
        self._holds = holds
        self._follows = dict(follows or {})
        self._whole = Whole(self.settings.kafka, self._follows, self._crash)
        self._stop = asyncio.Event()
        self._failed = asyncio.Event()
        self._code = 0
        self._draining = False
        self._reading_back = asyncio.Lock()
        self._recovered: set[tuple[int, int]] = set()
        """Assignments and partition numbers that were read back."""
        self._owed: set[int] = set()
        """Partition numbers of this assignment that were not."""
        self._taking_over: asyncio.Task[None] | None = None
        self._heads: dict[TP, tuple[int, float]] = {}
        self._group = f"{self.settings.kafka.group_prefix}.{service}"
        self._refusals = Refusals()
        self._diagnosis = Diagnosis(self.settings.kafka)
        self._app = self._faust()
        self.health = HealthServer(self.settings.health, ready=self._ready, alive=self._alive)

    def _faust(self) -> faust.App:
        kafka = self.settings.kafka
        rebalance_s = max(30.0, kafka.session_timeout_s)
        app = faust.App(
            self._group,
            broker=";".join(f"kafka://{broker.strip()}" for broker in kafka.brokers.split(",")),
            broker_credentials=faust_credentials(kafka),
            store="memory://",
            datadir=str(Path(tempfile.gettempdir()) / "multimood-faust"),
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            consumer_auto_offset_reset="earliest",
            stream_wait_empty=False,
            broker_commit_interval=0.2,
            broker_session_timeout=kafka.session_timeout_s,
            broker_heartbeat_interval=kafka.session_timeout_s / 5,
            # Joining takes as long as the slowest of the group.
            broker_request_timeout=max(kafka.request_timeout_s, rebalance_s + 10),
            broker_rebalance_timeout=rebalance_s,
            broker_max_poll_records=2_000,
            # What makes Faust use its assignor, the one that keeps a partition number of all topics together, even
            # without tables. That one is told of no replicas: with them it would leave the last workers without work.
            table_standby_replicas=1,
        )
        app.assignor = PartitionAssignor(app, replicas=0)
        self._inbox = app.channel(maxsize=INBOX_BATCHES)
        limits = getattr(self.processor, "limits", Limits())
        app.transport = BatchTransport(app.conf.broker_consumer, app, self._inbox, limits, self._crash, settings=kafka)
        app.producer_transport = app.transport
        for topic in self.inputs:
            app.topics.add(app.topic(topic.name, key_serializer="raw", value_serializer="raw"))
        app.on_partitions_assigned.connect(self._on_assigned, weak=False)
        app.on_partitions_revoked.connect(self._on_revoked, weak=False)
        app.agent(self._inbox, name=f"{self.service}.batches")(self._consume)
        return app

    # --- life ------------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Work until SIGTERM or SIGINT; returns the process' exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        await self.health.start()
        waits = [
            asyncio.create_task(wait) for wait in (self._start(), self._watch(), self._stop.wait(), self._failed.wait())
        ]
        await asyncio.wait(waits[2:], return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        last_resort = end_within(self.settings.drain_s + STOP_S, self._code)
        await self._shut_down()
        last_resort.cancel()
        return self._code

    def _crash(self, error: BaseException) -> None:
        if self._failed.is_set():
            return
        if isinstance(error, ConfigurationError):
            logger.critical("this worker cannot work as it is set up", extra={"code": error.code, "reason": str(error)})
            self._code = 2
        elif isinstance(error, KafkaError) and isinstance(
            refusal := explained(error, self.settings.kafka), RefusedError
        ):
            # Begun again, it waits for leave. Here what it had in work would wait, and its group is gone.
            extra = {"code": refusal.code, "reason": str(refusal)}
            logger.critical("the brokers refuse this worker; ending, to begin again", extra=extra)
            self._code = 1
        else:
            logger.critical("this worker cannot go on; ending so that its partitions move", exc_info=error)
            self._code = 1
        self._failed.set()

    async def _start(self) -> None:
        try:
            await self._connect()
            await self._whole.start()
            await self._look()
            await self._app.start()
            logger.info("working", extra={"topics": [topic.name for topic in self.inputs]})
            await self._look_again()
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not go on unnoticed
            self._crash(error)

    async def _look(self) -> None:
        if self._fits is not None:
            self._is_fit = await self._fits()

    async def _look_again(self) -> None:
        """What was away at the start is looked at when it comes; until then records wait or go on without, as ever."""
        pause = PAUSE_S
        while not self._is_fit:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
            await self._look()

    async def _connect(self) -> None:
        """Wait for the broker and its topics: they may come up after us.

        A consumer of a topic that is not there yet looks healthy, and learns of it up to five minutes after it is made.
        """
        pause = PAUSE_S
        while True:
            try:
                await self._tail.start()
                recovered = (topic for topic, _ in self.processor.recovers)
                missing = await self._tail.missing((*self.inputs, *recovered, *self._follows))
                if not missing:
                    await self._check_counts()
                    await self._check_leave()
                    await self._sender.start()
                    self._refusals.note("connecting", None)
                    return
                logger.warning("waiting for topics: run `multimood topics apply`", extra={"missing": missing})
            except (KafkaError, OSError) as error:
                await self._tell("waiting for the broker", error, "connecting")
            await self._tail.stop()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _check_counts(self) -> None:
        counts = await self._tail.partitions((*self.inputs, *(topic for topic, _ in self.processor.recovers)))
        if len(set(counts.values())) > 1:  # the records of one conversation would not meet
            raise ConfigurationError(f"topics must have equal partition counts, these have not: {counts}")

    async def _check_leave(self) -> None:
        """Before the first record comes: whether we may do what the service will do, as far as asking shows it."""
        await self._tail.may_join(self._group)
        access = ACCESS.get(self.service)
        if access is not None:
            await self._tail.check_known(access.written)

    async def _tell(self, what: str, error: Exception, doing: str) -> None:
        """Log what does not come about, and why; being refused makes us unready."""
        found = await self._diagnosis.why(error, doing)
        self._refusals.note(doing, found)
        extra = {"brokers": self.settings.kafka.brokers, "cause": code_of(error), "code": found.code}
        level = logging.ERROR if isinstance(found, RefusedError) else logging.WARNING
        logger.log(level, what, extra={**extra, "reason": str(found)})

    @property
    def _is_refused(self) -> bool:
        consumer = self._app._consumer  # noqa: SLF001
        return bool(self._refusals or self._sender.refusals or (consumer is not None and consumer.refusals))

    async def _watch(self) -> None:
        """Faust sets a flag and tells nobody; of its group's errors it does not know."""
        try:
            while not self._app.crashed:
                await asyncio.sleep(PAUSE_S)
                if self._app._consumer is not None:  # noqa: SLF001
                    self._app._consumer.check()  # noqa: SLF001
        except KafkaError as error:
            self._crash(error)
        else:
            self._crash(self._app.crash_reason)

    async def _shut_down(self) -> None:
        self._draining = True
        logger.info("draining", extra={"grace_s": self.settings.drain_s})
        await _bounded(self._drain, self.settings.drain_s + STOP_STEP_S)
        for stop in (
            self._app.stop, self._sender.stop, self._tail.stop, self._whole.stop, *self._on_stop, self.health.stop,
        ):  # fmt: skip
            await _bounded(stop, STOP_STEP_S)
        logger.info("stopped")
        telemetry.shutdown()

    async def _drain(self) -> None:
        consumer = self._app._consumer  # noqa: SLF001 - the property would make one
        if consumer is not None and not self._failed.is_set():
            consumer.stop_flow()
            await self.processor.drain(self.settings.drain_s)

    # --- work ------------------------------------------------------------------------------------------------------

    async def _consume(self, batches: Any) -> None:
        async for batch in batches:
            try:
                await self._take(batch)
            except Exception as error:  # noqa: BLE001 - Faust would go on with the next batch, and commit past this one
                self._crash(error)

    async def _take(self, batch: Batch) -> None:
        if self._stopping or batch.tracker.closed:
            return
        await self._recover(batch.epoch, batch.tp.partition)
        if self._stopping or batch.tracker.closed:
            return
        topic, received = self._topics[batch.tp.topic], now_us()
        for record in batch.records:
            if not record.value and is_filler(record):
                batch.tracker.done(record.offset)
        deliveries = [
            Delivery(topic, record, batch.tracker, received)
            for record in batch.records
            if record.value or not is_filler(record)
        ]
        await self.processor.process(deliveries)

    @property
    def _stopping(self) -> bool:
        return self._draining or self._failed.is_set()

    async def _on_assigned(self, _app: Any, assigned: set[TP], **_kwargs: Any) -> None:
        self._owed = {tp.partition for tp in assigned if tp.topic in self._topics}
        self._taking_over = asyncio.create_task(self._take_over(tuple(sorted(self._owed))))

    async def _on_revoked(self, *_args: Any, **_kwargs: Any) -> None:
        if self._taking_over is not None:
            self._taking_over.cancel()
        self._owed = set()
        self.processor.reset()

    # --- taking partitions over ------------------------------------------------------------------------------------

    async def _take_over(self, partitions: Sequence[int]) -> None:
        """Read back every partition as soon as it is ours, so that the first record does not wait for it."""
        consumer: BatchConsumer = self._app.consumer
        while not (consumer.joined and consumer.flow_active):  # noqa: ASYNC110 - then the committed offsets are known
            await asyncio.sleep(FLOW_S)
        try:
            for partition in partitions:
                await self._recover(consumer.epoch, partition)
        except Exception as error:  # noqa: BLE001 - see _consume
            self._crash(error)

    async def _recover(self, epoch: int, partition: int) -> None:
        """Before the first record of a partition: learn what was published for it by whoever had it before us."""
        consumer: BatchConsumer = self._app.consumer
        mark, pause = (epoch, partition), PAUSE_S
        async with self._reading_back:
            while mark not in self._recovered and epoch == consumer.epoch and not self._stopping:
                try:
                    await self._read_back(partition)
                except (KafkaError, OSError) as error:
                    await self._tell("reading back waits for the broker", error, "reading back")
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE_S)
                else:
                    self._refusals.note("reading back", None)
                    self._recovered = {done for done in self._recovered if done[0] == epoch} | {mark}
                    if epoch == consumer.epoch:
                        self._owed.discard(partition)

    async def _read_back(self, partition: int) -> None:
        started = time.monotonic()
        count = 0
        since_ms = await self._reads_again_from(partition) if self.processor.recovers else 0
        for topic, last in self.processor.recovers:
            async for record in self._tail.read(topic, partition, last, since_ms):
                self._app.consumer.beat = time.monotonic()  # this may take long, but it is no stall
                with contextlib.suppress(InvalidEventError):
                    event = decode(topic, record.value, record.headers, record.key, now_us())
                    self.processor.recover(topic, event)
                    count += 1
        seconds = round(time.monotonic() - started, 3)
        logger.info("partition taken over", extra={"partition": partition, "recovered": count, "seconds": seconds})

    async def _reads_again_from(self, partition: int) -> int:
        """When the oldest record was appended (ms) that any input of this partition will be read from.

        Only from then on can there be outputs of records that come again.
        """
        consumer: BatchConsumer = self._app.consumer
        times = [now_us() // 1000]
        for topic in self.inputs:
            at = await self._tail.time_at(topic, partition, consumer.committed(TP(topic.name, partition)))
            times += [at] if at is not None else []
        return max(0, min(times) - CLOCK_SLACK_MS)

    # --- health ----------------------------------------------------------------------------------------------------

    async def _ready(self) -> Mapping[str, bool]:
        consumer = self._app._consumer  # noqa: SLF001
        if consumer is not None:
            consumer.renew_password()
        checks = {
            "broker": await self._tail.reachable(),
            "consuming": consumer is not None and consumer.joined and bool(consumer.flow_active),
            "taken_over": not self._owed,
            "authorised": not self._is_refused,
            "not_draining": not self._draining,
        }
        if self._fits is not None:
            checks["fits"] = self._is_fit
        for name, check in self._checks.items():
            try:
                checks[name] = await asyncio.wait_for(check(), 3)
            except Exception:  # noqa: BLE001 - a check that fails in any way is a check that does not hold
                checks[name] = False
        return checks

    async def _alive(self) -> Mapping[str, bool]:
        """Alive: not crashed, and what was delivered gets done (a stall restarts us; the records are read again).

        Without a broker, or its leave, nothing can get done, and a restart would not help.
        """
        stalled = self._stalled() and not self._is_refused and await self._tail.reachable()
        return {"not_crashed": not self._failed.is_set(), "progressing": not stalled}

    def _stalled(self) -> bool:
        """Tell whether a partition's lowest record has been in work for too long, or none were looked for."""
        consumer, now = self._app._consumer, time.monotonic()  # noqa: SLF001
        if consumer is None:
            return False
        heads = consumer.heads() if consumer.held > self._holds() else {}
        known = self._heads
        self._heads = {
            tp: known[tp] if tp in known and known[tp][0] == head else (head, now) for tp, head in heads.items()
        }
        since = min((since for _, since in self._heads.values()), default=now)
        looked_at: float = consumer.beat
        return now - min(since, looked_at) > STALL_S


async def _bounded(step: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Take one step of stopping; the next ones have to be taken whatever becomes of it."""
    try:
        await asyncio.wait_for(step(), seconds)
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
        logger.warning("did not stop in order", extra={"step": step.__qualname__, "cause": code_of(error)})


def end_within(seconds: float, code: int) -> threading.Timer:
    """End this process in so many seconds if it has not ended by itself: threads of a hung client would keep it."""
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()
    return timer
