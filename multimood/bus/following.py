"""Around a processor: topics that are only learnt from."""

from collections.abc import Sequence

from google.protobuf.message import Message

from multimood.bus.acks import Limits
from multimood.bus.delivery import Delivery, Processor
from multimood.bus.envelope import Event, decode
from multimood.errors import InvalidEventError
from multimood.topics import Topic


class Following:
    """Gives every record of the `followed` to the inner processor's `recover` at once, past the queues of its events.

    For a topic that several write and where each must know what the others wrote: recovery after an assignment
    tells what was there before, this tells what comes after.
    """

    def __init__(self, inner: Processor, *followed: Topic) -> None:
        self._inner = inner
        self._followed = frozenset(topic.name for topic in followed)
        self.recovers = inner.recovers
        self.limits: Limits = getattr(inner, "limits", Limits())

    def recover(self, topic: Topic, event: Event[Message]) -> None:
        """See `Processor`."""
        self._inner.recover(topic, event)

    async def process(self, deliveries: Sequence[Delivery]) -> None:
        """Learn from followed records (what cannot be decoded is its owner's affair), hand on all others."""
        others = []
        for delivery in deliveries:
            if delivery.topic.name not in self._followed:
                others.append(delivery)
                continue
            record = delivery.record
            try:
                event = decode(delivery.topic, record.value, record.headers, record.key, delivery.received_at_us)
            except InvalidEventError:
                pass
            else:
                self._inner.recover(delivery.topic, event)
            delivery.done()
        if others:
            await self._inner.process(others)

    def reset(self) -> None:
        """See `Processor`."""
        self._inner.reset()

    async def drain(self, grace_s: float) -> None:
        """See `Processor`."""
        await self._inner.drain(grace_s)
