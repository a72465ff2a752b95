"""A service's process: Faust for membership and flow, a processor for the work, health, and an orderly end."""

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faust
from aiokafka.errors import KafkaError
from faust.exceptions import ProducerSendError
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from multimood import telemetry
from multimood.bus.delivery import Bus, Delivery, Processor
from multimood.bus.envelope import Output, dead_letter_headers, decode, encode_headers
from multimood.bus.retry import code_of
from multimood.bus.tail import PartitionTail
from multimood.bus.transport import Batch, BatchConsumer, BatchTransport
from multimood.clock import now_us
from multimood.errors import InvalidEventError, MultimoodError, UnsendableError
from multimood.health import HealthServer
from multimood.settings import HealthSettings, KafkaSettings, TelemetrySettings, describe
from multimood.topics import BY_NAME, Topic

logger = logging.getLogger(__name__)

INBOX_BATCHES = 8
STALL_S = 120.0
SEND_RETRY_S = 0.5


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
    """

    def __init__(
        self,
        service: str,
        inputs: Sequence[Topic],
        build: Callable[[Bus], Processor],
        *,
        settings: WorkerSettings | None = None,
        checks: Mapping[str, Callable[[], Awaitable[bool]]] | None = None,
        on_stop: Sequence[Callable[[], Awaitable[None]]] = (),
        holds: Callable[[], int] = lambda: 0,
    ) -> None:
        self.service = service
        self.inputs = tuple(inputs)
        self.settings = settings or WorkerSettings()
        self.processor = build(Bus(self._emit, self._dead_letter))
        self._checks = dict(checks or {})
        self._on_stop = on_stop
        self._holds = holds
        self._stop = asyncio.Event()
        self._draining = False
        self._recovered: set[tuple[int, int]] = set()
        self._progress = (0, time.monotonic())
        self._tail = PartitionTail(self.settings.kafka)
        self._app = self._faust()
        self.health = HealthServer(self.settings.health, ready=self._ready, alive=self._alive)

    def _faust(self) -> faust.App:
        kafka = self.settings.kafka
        app = faust.App(
            f"{kafka.group_prefix}.{self.service}",
            broker=";".join(f"kafka://{broker.strip()}" for broker in kafka.brokers.split(",")),
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
            broker_rebalance_timeout=max(30.0, kafka.session_timeout_s),
            broker_max_poll_records=2_000,
            producer_linger=0,
            producer_max_request_size=kafka.max_message_bytes,
        )
        self._inbox = app.channel(maxsize=INBOX_BATCHES)
        app.transport = BatchTransport(app.conf.broker_consumer, app, self._inbox)
        app.producer_transport = app.transport
        for topic in self.inputs:
            app.topics.add(app.topic(topic.name, key_serializer="raw", value_serializer="raw"))
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
        await self._connect()
        if not self._stop.is_set():
            await self._app.start()
            logger.info("working", extra={"topics": [topic.name for topic in self.inputs]})
        crashed = asyncio.create_task(self._crashed())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({crashed, stopping}, return_when=asyncio.FIRST_COMPLETED)
        failed = crashed.done()
        for task in (crashed, stopping):
            task.cancel()
        await self._shut_down()
        return 1 if failed else 0

    async def _connect(self) -> None:
        """Wait for the broker and its topics: they may come up after us.

        A consumer of a topic that is not there yet looks healthy, and learns of it up to five minutes after it is made.
        """
        needed = (*self.inputs, *(topic for topic, _ in self.processor.recovers))
        pause = 0.2
        while not self._stop.is_set():
            try:
                await self._tail.start()
                missing = await self._tail.missing(needed)
            except (KafkaError, OSError) as error:
                logger.warning(
                    "waiting for the broker", extra={"brokers": self.settings.kafka.brokers, "cause": code_of(error)}
                )
            else:
                if not missing:
                    return
                logger.warning("waiting for topics: run `multimood topics apply`", extra={"missing": missing})
            await self._tail.stop()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)
            pause = min(2 * pause, 5.0)

    async def _crashed(self) -> None:
        while not self._app.crashed:  # noqa: ASYNC110 - Faust sets a flag and tells nobody
            await asyncio.sleep(0.2)
        logger.critical("the consumer crashed; ending so that the partitions move on", exc_info=self._app.crash_reason)

    async def _shut_down(self) -> None:
        self._draining = True
        logger.info("draining", extra={"grace_s": self.settings.drain_s})
        consumer = self._app._consumer  # noqa: SLF001 - the property would make one
        if consumer is not None and not self._app.crashed:
            consumer.stop_flow()
            await self.processor.drain(self.settings.drain_s)
        await self._app.stop()
        await self._tail.stop()
        for stop in self._on_stop:
            await stop()
        await self.health.stop()
        logger.info("stopped")
        telemetry.shutdown()

    # --- work ------------------------------------------------------------------------------------------------------

    async def _consume(self, batches: Any) -> None:
        async for batch in batches:
            consumer: BatchConsumer = self._app.consumer
            if self._draining or not consumer.is_current(batch):
                continue
            await self._recover(batch)
            if not consumer.is_current(batch):
                continue
            topic, received = BY_NAME[batch.tp.topic], now_us()
            deliveries = [Delivery(topic, record, batch.tracker, received) for record in batch.records]
            await self.processor.process(deliveries)

    async def _on_revoked(self, *_args: Any, **_kwargs: Any) -> None:
        self.processor.reset()

    async def _recover(self, batch: Batch) -> None:
        """Before the first record of a partition: learn what was published for it by whoever had it before us."""
        mark = (batch.generation, batch.tp.partition)
        if mark in self._recovered:
            return
        started = time.monotonic()
        count = 0
        for topic, last in self.processor.recovers:
            async for record in self._tail.read(topic, batch.tp.partition, last):
                with contextlib.suppress(InvalidEventError):
                    self.processor.recover(topic, decode(topic, record.value, record.headers, record.key, now_us()))
                    count += 1
        self._recovered = {done for done in self._recovered if done[0] == batch.generation} | {mark}
        seconds = round(time.monotonic() - started, 3)
        logger.info(
            "partition taken over", extra={"partition": batch.tp.partition, "recovered": count, "seconds": seconds}
        )

    async def _emit(self, outputs: Sequence[Output], traceparent: str) -> None:
        for out in outputs:
            await self._send(
                out.topic.name, out.key, out.message.SerializeToString(), encode_headers(out, self.service, traceparent)
            )

    async def _send(self, topic: str, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        """Send until it is durable: without the broker nothing else can be done, and work must not be done twice.

        Raises UnsendableError for a record that the broker will never take.
        """
        while True:
            try:
                sent = await self._app.producer.send(topic, key, value, None, None, headers)
                await sent
            except (KafkaError, ProducerSendError) as error:
                cause = error.__cause__ if isinstance(error, ProducerSendError) else error
                if not getattr(cause, "retriable", True):
                    raise UnsendableError(f"{topic} refused a record: {type(cause).__name__}") from None
                logger.warning("sending waits for the broker", extra={"topic": topic, "cause": type(cause).__name__})
                await asyncio.sleep(SEND_RETRY_S)
            else:
                return

    async def _dead_letter(self, delivery: Delivery, error: BaseException, attempts: int) -> None:
        record = delivery.record
        fault = {
            "reason": code_of(error),
            "error": str(error) if isinstance(error, MultimoodError) else type(error).__name__,
            "service": self.service,
            "topic": record.topic,
            "partition": str(record.partition),
            "offset": str(record.offset),
            "attempts": str(attempts),
            "time_us": str(now_us()),
        }
        await self._send(
            delivery.topic.dead_letters, record.key, record.value, dead_letter_headers(record.headers, fault)
        )

    # --- health ----------------------------------------------------------------------------------------------------

    async def _ready(self) -> Mapping[str, bool]:
        consumer = self._app._consumer  # noqa: SLF001
        checks = {"consuming": consumer is not None and bool(consumer.flow_active), "not_draining": not self._draining}
        for name, check in self._checks.items():
            try:
                checks[name] = await asyncio.wait_for(check(), 3)
            except Exception:  # noqa: BLE001 - a check that fails in any way is a check that does not hold
                checks[name] = False
        return checks

    async def _alive(self) -> Mapping[str, bool]:
        """Alive: not crashed, and what was delivered gets done (a stall restarts us; the records are read again)."""
        consumer = self._app._consumer  # noqa: SLF001
        if consumer is None:
            return {"not_crashed": not self._app.crashed}
        trackers = consumer._trackers.values()  # noqa: SLF001
        position = sum(tracker.position for tracker in trackers)
        if position != self._progress[0] or consumer.pending <= self._holds():
            self._progress = (position, time.monotonic())
        return {"not_crashed": not self._app.crashed, "progressing": time.monotonic() - self._progress[1] < STALL_S}


def run_worker(
    service: str,
    purpose: str,
    make: Callable[[WorkerSettings], Worker],
    reads: Sequence[type[BaseSettings]] = (),
) -> None:
    """Run a service's worker as this process: the body of `python -m services.<name>`.

    `make` is called inside the running event loop. Exit codes: 0 after SIGTERM, 1 after a crash, 2 when the
    configuration cannot work.
    """
    classes: tuple[type[BaseSettings], ...] = (KafkaSettings, *reads, HealthSettings, TelemetrySettings)
    argparse.ArgumentParser(
        prog=f"python -m services.{service}",
        description=purpose,
        epilog="environment:\n" + describe(classes),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()

    async def main() -> int:
        return await make(WorkerSettings()).run()

    try:
        telemetry.setup(service, TelemetrySettings())
        code = asyncio.run(main())
    except MultimoodError as error:
        logger.critical("cannot start", extra={"code": error.code, "reason": str(error)})
        code = 2
    except ValidationError as error:
        faults = {"_".join(map(str, fault["loc"])): fault["msg"] for fault in error.errors(include_input=False)}
        logger.critical("a setting cannot work", extra={"settings": error.title, "faults": faults})
        code = 2
    sys.exit(code)
