"""Sending until it is durable: the worker's own idempotent producer, replaced when the broker no longer trusts it.

Faust's producer would be one for the process' life. An idempotent producer numbers its records per partition, and when
the broker refuses one for good, the next number has no predecessor: from then on it refuses all. So a producer that
failed in any way but "try again" is dropped, and what it had not sent goes through a new one: whoever waits for it is
told so (`Producer`).
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any, Final

from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnsupportedForMessageFormatError,
)
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from multimood.bus.batches import Failures, send_batches
from multimood.bus.connection import aiokafka_options, renew_password
from multimood.bus.outbox import Record
from multimood.bus.probe import Diagnosis
from multimood.bus.producer import Producer
from multimood.bus.refusals import Refusals
from multimood.errors import RefusedError, UnsendableError
from multimood.settings import KafkaSettings

logger = logging.getLogger(__name__)

Headers = list[tuple[str, bytes]]

REFUSED: Final = (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    InvalidTimestampError,
    UnsupportedForMessageFormatError,
)
"""What the broker says of a record that it will never take. Anything else is about the broker or about us."""
PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 5.0
BATCH_BYTES: Final = 1 << 19
"""Room for what hundreds send to one partition at once. In the client's default of 16 KiB each batch that leaves wakes
all of them, to find it full again."""
ANSWER_S: Final = 3.0
ROOM: Final = 1 << 20
"""Above the largest record, so that the limit that counts is the one `send` is given."""


class Sender:
    """Sends records one by one; `send` returns when all in-sync replicas have the record, however long that takes."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._diagnosis = Diagnosis(settings)
        self._producer: Producer | None = None
        self._connecting = asyncio.Lock()
        self._refused = asyncio.Lock()
        """One refused record at a time is sent again, by a producer of its own."""
        self._dropped: set[asyncio.Task[None]] = set()
        self.refusals = Refusals()
        """Topics that the brokers do not let us write. What is for them waits."""

    async def start(self) -> None:
        """Connect. Raises KafkaError when the broker cannot be reached."""
        await self._connected()

    async def stop(self) -> None:
        """Send what is buffered, if that is possible soon, and disconnect."""
        producer, self._producer = self._producer, None
        await asyncio.gather(*self._dropped, *([producer.stop()] if producer is not None else []))

    async def reachable(self) -> bool:
        """Ask whether the broker answers now; in a few seconds at most, and never raises."""
        return self._producer is not None and await answers(self._producer.client, self._settings)

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, *, limit: int,
        partition: int | None = None,
    ) -> None:  # fmt: skip
        """Send until it is durable: without the broker nothing else can be done, and work must not be done twice.

        Raises UnsendableError for a record of more than `limit` bytes, or one that the broker will never take.
        """
        if key is None and value is None:  # which the client refuses to send
            value = b""
        _check_size(topic, key, value, headers, limit)
        pause, alone = PAUSE_S, False
        while True:
            producer: Producer | None = None
            try:
                if alone:
                    await self._send_alone(topic, value, key, partition, headers)
                else:
                    producer = self._producer or await self._connected()
                    await producer.send_and_wait(topic, value, key, partition, headers=headers)
            except REFUSED as error:
                if alone:
                    raise UnsendableError(f"{topic} refused a record: {type(error).__name__}") from None
                alone = True  # it may have been another one of the same batch
                self._drop(producer)
            except (KafkaError, OSError) as error:
                if _costs_trust(error):
                    self._drop(producer)
                await self._tell(topic, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
            else:
                self.refusals.note(topic, None)
                return

    async def send_all(self, records: Sequence[Record]) -> Sequence[BaseException | None]:
        """Send independent records, in no order; gives what became of each when all are durable or never will be.

        Hundreds for one partition cost little more than one. Whatever fails is sent again by itself.
        """
        outcomes: list[BaseException | None] = [None] * len(records)
        sent: dict[int, Record] = {}
        for number, one in enumerate(records):
            try:
                _check_size(one.topic, one.key, one.value, one.headers, one.limit)
            except UnsendableError as error:
                outcomes[number] = error
            else:
                sent[number] = one
        try:
            producer = self._producer or await self._connected()
        except (KafkaError, OSError) as error:
            failures: Failures = dict.fromkeys(sent, error)
        else:
            failures = await send_batches(producer, sent)
            if any(map(_costs_trust, failures.values())):
                self._drop(producer)
        if failures:
            causes = sorted({type(error).__name__ for error in failures.values()})
            logger.warning("sending again, one by one", extra={"records": len(failures), "causes": causes})
        again = [self._send_again(sent[number]) for number in failures]
        for number, outcome in zip(failures, await asyncio.gather(*again, return_exceptions=True), strict=True):
            outcomes[number] = outcome
        return outcomes

    async def _tell(self, topic: str, error: Exception) -> None:
        """Log why a record waits."""
        found = await self._diagnosis.why(error, "writing", topic if "Topic" in type(error).__name__ else "")
        self.refusals.note(topic, found)
        level = logging.ERROR if isinstance(found, RefusedError) else logging.WARNING
        extra = {"topic": topic, "cause": type(error).__name__, "code": found.code, "reason": str(found)}
        logger.log(level, "sending waits for the broker", extra=extra)

    async def _send_again(self, one: Record) -> None:
        await self.send(one.topic, one.key, one.value, one.headers, limit=one.limit, partition=one.partition)

    async def _send_alone(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int | None, headers: Headers
    ) -> None:
        async with self._refused:
            producer = await self._start_one(1)
            try:
                await producer.send_and_wait(topic, value, key, partition, headers=headers)
            finally:
                await producer.stop()

    async def _connected(self) -> Producer:
        async with self._connecting:
            if self._producer is None:
                self._producer = await self._start_one(min(BATCH_BYTES, self._settings.max_message_bytes))
            return self._producer

    async def _start_one(self, batch_bytes: int) -> Producer:
        producer = Producer(
            **aiokafka_options(self._settings),
            acks="all",
            enable_idempotence=True,
            max_batch_size=batch_bytes,
            max_request_size=self._settings.max_message_bytes + ROOM,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    def _drop(self, producer: Producer | None) -> None:
        if producer is None or producer is not self._producer:
            return
        self._producer = None
        task = asyncio.create_task(producer.stop())
        self._dropped.add(task)
        task.add_done_callback(self._dropped.discard)


def _check_size(topic: str, key: bytes | None, value: bytes | None, headers: Headers, limit: int) -> None:
    size = DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, headers)
    if size > limit:
        raise UnsendableError(f"a record for {topic} has {size} bytes; at most {limit} are accepted")


async def answers(client: Any, settings: KafkaSettings) -> bool:
    """Ask a client's brokers for their metadata; no answer within seconds is a no."""
    renew_password(client, settings)
    with contextlib.suppress(TimeoutError, KafkaError, OSError):
        return bool(await asyncio.wait_for(client.force_metadata_update(), ANSWER_S))
    return False


def _costs_trust(error: BaseException) -> bool:
    """Tell whether a producer that says this may have lost its count. That there was no room is no fault of its."""
    return not getattr(error, "retriable", False) and not isinstance(error, KafkaTimeoutError)
