"""What stands around a processor in its tests: records, deliveries, and a bus that remembers."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from multimood.bus.acks import OffsetTracker
from multimood.bus.delivery import Bus, Delivery
from multimood.bus.envelope import Output, encode_headers, output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.topics import Topic, key_of

CANARY = "nobody may read this aloud"


def context(conversation: str = "c", utterance: str = "u", tenant: str = "t") -> pb.Context:
    """Whose and where."""
    return pb.Context(tenant=tenant, conversation_id=conversation, utterance_id=utterance)


def record(topic: Topic, message: Any, offset: int = 0, *, traceparent: str = "", partition: int = 0) -> Any:
    """A record as a client gives it."""
    return SimpleNamespace(
        topic=topic.name,
        partition=partition,
        offset=offset,
        key=key_of(message.context),
        value=message.SerializeToString(),
        headers=tuple(encode_headers(output(topic, message), "platform", traceparent)),
        timestamp=1,
    )


@dataclass
class Log:
    """One partition of one topic, and how far it is acknowledged."""

    topic: Topic
    records: list[Any] = field(default_factory=list)
    tracker: OffsetTracker = field(default_factory=lambda: OffsetTracker(0))

    def write(self, *messages: Any, traceparent: str = "") -> "Log":
        """Append."""
        for message in messages:
            self.records.append(record(self.topic, message, len(self.records), traceparent=traceparent))
        return self

    def raw(self, value: bytes | None, key: bytes | None = b"t/c") -> "Log":
        """Append anything."""
        offset = len(self.records)
        self.records.append(
            SimpleNamespace(topic=self.topic.name, partition=0, offset=offset, key=key, value=value, headers=())
        )
        return self

    def deliveries(self, begin: int = 0, end: int | None = None) -> list[Delivery]:
        """Deliver from an offset to before another."""
        given = []
        for one in self.records[begin:end]:
            self.tracker.open(one.offset, len(one.value or b""))
            given.append(Delivery(self.topic, one, self.tracker, received_at_us=1))
        return given

    def move(self) -> "Log":
        """Take the partition away and give it back: what is not done will be delivered again."""
        self.tracker.close()
        self.tracker = OffsetTracker(self.tracker.position)
        return self

    @property
    def done(self) -> int:
        """The offset to commit."""
        return self.tracker.position


@dataclass
class FakeBus:
    """Takes outputs and dead letters; may fail as told, or wait until let go."""

    outputs: list[Output] = field(default_factory=list)
    traceparents: list[str] = field(default_factory=list)
    letters: list[tuple[Delivery, BaseException, int]] = field(default_factory=list)
    crashes: list[BaseException] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    letters_fail: BaseException | None = None

    def __post_init__(self) -> None:
        self.open.set()

    @property
    def bus(self) -> Bus:
        """For the processor."""
        return Bus(self._emit, self._dead_letter, self.crashes.append)

    async def _emit(self, outputs: Sequence[Output], traceparent: str) -> None:
        await self.open.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.outputs += outputs
        self.traceparents += [traceparent] * len(outputs)

    async def _dead_letter(self, delivery: Delivery, error: BaseException, attempts: int) -> None:
        await self.open.wait()
        if self.letters_fail:
            raise self.letters_fail
        self.letters.append((delivery, error, attempts))


async def settle(seconds: float = 0.0) -> None:
    """Let everything run that can."""
    for _ in range(30):
        await asyncio.sleep(0)
    if seconds:
        await asyncio.sleep(seconds)
        await settle()
