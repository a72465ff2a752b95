"""A record on its way through a service, and what a processor may do with the bus."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from google.protobuf.message import Message

from multimood.bus.acks import OffsetTracker
from multimood.bus.envelope import Event, Output
from multimood.topics import Topic


@dataclass(slots=True, eq=False)  # not frozen: made for every record, and a frozen one takes three times as long
class Delivery:
    """One raw record with the tracker that waits for it. Never changed."""

    topic: Topic
    record: Any
    tracker: OffsetTracker
    received_at_us: int

    def done(self) -> None:
        """Say that everything this record caused is durable; its offset may be committed."""
        self.tracker.done(self.record.offset)

    @property
    def moved(self) -> bool:
        """Tell whether the partition was taken away since: the record will be delivered again, here or elsewhere."""
        return self.tracker.closed


Said = tuple[Output, str]
"""An output and the traceparent of its record."""
Addressed = tuple[Output, str, int]
"""The same with its partition: the number that its inputs had."""


def _raise(error: BaseException) -> None:
    raise error


@dataclass(frozen=True, slots=True)
class Bus:
    """What a processor needs of the worker, and all that a test has to provide."""

    emit: Callable[[Sequence[Output], str], Awaitable[None]]
    """Publish outputs one after another; returns when all are durable. Second argument: the traceparent."""
    dead_letter: Callable[[Delivery, BaseException, int], Awaitable[None]]
    """Put the original bytes into the dead-letter topic (error, attempts); returns when durable."""
    crash: Callable[[BaseException], None] = _raise
    """End the process: its records are read again by whoever gets the partitions. For what must not go on unnoticed."""
    together: Callable[[Sequence[Addressed]], Awaitable[Sequence[BaseException | None]]] | None = None
    """`emit_all` for many at once at the price of one; None: each is emitted by itself."""
    reachable: Callable[[], Awaitable[bool]] | None = None
    """Ask whether the broker answers now; None: take it for granted."""

    async def emit_all(self, outputs: Sequence[Addressed]) -> Sequence[BaseException | None]:
        """Publish independent outputs, in no order; gives what became of each when all are durable or never will be."""
        if self.together is not None:
            return await self.together(outputs)
        return await asyncio.gather(*(self.emit((out,), trace) for out, trace, _ in outputs), return_exceptions=True)


class Processor(Protocol):
    """The shell around a service's core. One that sets `limits` (bus.acks.Limits) bounds its work in a partition."""

    recovers: Sequence[tuple[Topic, int | None]]
    """Topics whose partition is read back after an assignment: at least the last so many records and as far as records
    will be read again, or all (None)."""

    def recover(self, topic: Topic, event: Event[Message]) -> None:
        """Learn from a record this service published before."""

    async def process(self, deliveries: Sequence[Delivery]) -> None:
        """Take the deliveries of one partition; may return before they are done, and waits when it holds too much."""

    def reset(self) -> None:
        """Partitions are moving: forget what is not begun; it will be delivered again, here or elsewhere."""

    async def drain(self, grace_s: float) -> None:
        """Finish what was begun, at most for the grace."""
