"""What leaves a service: its outputs, and the dead letters of what it could not process."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from multimood.bus.delivery import Addressed, Delivery
from multimood.bus.envelope import Output, encode_headers
from multimood.bus.letters import KEPT_HEADER_BYTES, dead_letter_headers, envelope_headers
from multimood.bus.retry import code_of
from multimood.clock import now_us
from multimood.errors import MultimoodError, UnsendableError
from multimood.topics import DEAD_LETTER_ROOM


@dataclass(slots=True)
class Record:
    """A record to be sent, and how large it may be."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    limit: int
    partition: int


class Sends(Protocol):
    """Sends a record; returns when it is durable. Raises UnsendableError when it never will be."""

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]], *, limit: int
    ) -> None:
        """See `Sender`."""

    async def send_all(self, records: Sequence[Record]) -> Sequence[BaseException | None]:
        """See `Sender`."""


class Outbox:
    """Writes a service's records: the bytes, the headers, the limits."""

    def __init__(self, service: str, sender: Sends, max_message_bytes: int) -> None:
        self._service = service
        self._sender = sender
        self._letter_limit = max_message_bytes + DEAD_LETTER_ROOM

    async def emit(self, outputs: Sequence[Output], traceparent: str) -> None:
        """Publish outputs one after another; returns when all are durable."""
        for out in outputs:
            await self._sender.send(
                out.topic.name,
                out.key,
                out.message.SerializeToString(),
                encode_headers(out, self._service, traceparent),
                limit=out.topic.max_message_bytes,
            )

    async def emit_all(self, outputs: Sequence[Addressed]) -> Sequence[BaseException | None]:
        """Publish independent outputs; gives what became of each when all are durable or never will be."""
        return await self._sender.send_all(
            [
                Record(
                    out.topic.name,
                    out.key,
                    out.message.SerializeToString(),
                    encode_headers(out, self._service, traceparent),
                    out.topic.max_message_bytes,
                    partition,
                )
                for out, traceparent, partition in outputs
            ]
        )

    async def dead_letter(self, delivery: Delivery, error: BaseException, attempts: int) -> None:
        """Put the original bytes into the dead-letter topic; returns when they are durable."""
        record, topic = delivery.record, delivery.topic.dead_letters
        fault = {
            "reason": code_of(error),
            "error": str(error) if isinstance(error, MultimoodError) else type(error).__name__,
            "service": self._service,
            "topic": record.topic,
            "partition": str(record.partition),
            "offset": str(record.offset),
            "attempts": str(attempts),
            "time_us": str(now_us()),
        }
        headers, limit = dead_letter_headers(record.headers, fault), self._letter_limit
        try:
            await self._sender.send(topic, record.key, record.value, headers, limit=limit)
        except UnsendableError:
            # A small compressed record can be larger than any that may be sent. The original stays where it is.
            headers = envelope_headers(record.headers, fault, record.value)
            key = record.key if len(record.key or b"") <= KEPT_HEADER_BYTES else None
            await self._sender.send(topic, key, None, headers, limit=limit)
