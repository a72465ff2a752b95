"""The client's producer, stopped so that nobody waits for it in vain."""

import asyncio
import contextlib
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, ProducerClosed

STOP_S: Final = 3.0
"""For each step of stopping."""


class Producer(AIOKafkaProducer):  # type: ignore[misc]
    """An AIOKafkaProducer that ends in seconds, whatever the broker does, and says so to all who wait for it."""

    async def stop(self) -> None:
        """Send what is buffered, if that is possible soon, and disconnect. Whoever waits for the rest: ProducerClosed.

        The client only flushes: what came in meanwhile, or could not be sent, would be waited for for ever, and so
        would news of a topic.
        """
        for step in (super().stop, self.client.close, self._end_news, self._sender.close):
            with contextlib.suppress(TimeoutError, KafkaError, OSError):
                await asyncio.wait_for(step(), STOP_S)
        self._message_accumulator.fail_all(ProducerClosed())

    async def _end_news(self) -> None:
        waited_for = self.client._md_update_fut or asyncio.get_running_loop().create_future()  # noqa: SLF001
        if not waited_for.done():
            waited_for.set_exception(ProducerClosed())
            waited_for.exception()  # it is no fault if nobody waits
        self.client._md_update_fut = waited_for  # noqa: SLF001

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> Any:
        """Queue a batch, however long others are before it; gives the future that is done when it is durable.

        There is room for one of a partition, and the client's clock runs too fast where many wait for it: it counts
        each of their turns from the first.
        """
        while True:
            try:
                return await super().send_batch(batch, topic, partition=partition)
            except KafkaTimeoutError:
                continue
