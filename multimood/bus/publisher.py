"""Publishing from outside a worker: the gateway's and the tools' way onto the bus."""

import asyncio

from aiokafka.errors import KafkaError
from google.protobuf.message import Message

from multimood.bus.envelope import Output, encode_headers, output
from multimood.bus.probe import why
from multimood.bus.sender import Sender
from multimood.errors import UnavailableError
from multimood.settings import KafkaSettings
from multimood.telemetry import current_traceparent
from multimood.topics import Topic


class Publisher:
    """Writes events durably: `publish` returns when all in-sync replicas have the record."""

    def __init__(self, settings: KafkaSettings, service: str, *, timeout_s: float = 5.0) -> None:
        self._settings = settings
        self._service = service
        self._timeout_s = timeout_s
        self._sender = Sender(settings)

    async def start(self) -> None:
        """Connect. Raises UnavailableError when the broker cannot be reached."""
        try:
            await self._sender.start()
        except (KafkaError, OSError) as error:
            raise await why(error, self._settings, "connecting") from None

    async def stop(self) -> None:
        """Send what is buffered and disconnect."""
        await self._sender.stop()

    async def reachable(self) -> bool:
        """Ask whether the broker answers now; in a few seconds at most, and never raises."""
        return await self._sender.reachable()

    @property
    def refused(self) -> bool:
        """Whether the brokers did not let us write, lately."""
        return bool(self._sender.refusals)

    async def publish(self, topic: Topic, message: Message, event_id: str | None = None) -> None:
        """Publish one event.

        Raises UnavailableError when it is not known to be durable: send the same id again. Raises UnsendableError when
        it never can be, being too large.
        """
        out = output(topic, message)
        if event_id is not None:
            out = Output(topic, out.message, event_id)
        headers = encode_headers(out, self._service, current_traceparent())
        value = out.message.SerializeToString()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._sender.send(topic.name, out.key, value, headers, limit=topic.max_message_bytes)
        except TimeoutError:
            raise UnavailableError(f"{topic.name} did not take an event within {self._timeout_s:g} s") from None
