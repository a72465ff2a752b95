"""Publishing from outside a worker: the gateway's and the tools' way onto the bus."""

import asyncio

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from multimood.bus.envelope import Output, encode_headers, output
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
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect. Raises UnavailableError when the broker cannot be reached."""
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.brokers,
            acks="all",
            enable_idempotence=True,
            max_request_size=self._settings.max_message_bytes,
        )
        try:
            await self._producer.start()
        except KafkaError as error:
            raise UnavailableError(f"no broker answers at {self._settings.brokers}: {type(error).__name__}") from None

    async def stop(self) -> None:
        """Send what is buffered and disconnect."""
        if self._producer is not None:
            await self._producer.stop()

    async def publish(self, topic: Topic, message: object, event_id: str | None = None) -> None:
        """Publish one event. Raises UnavailableError when it is not known to be durable: send the same id again."""
        assert self._producer is not None, "start() first"
        out = output(topic, message)  # type: ignore[arg-type]
        if event_id is not None:
            out = Output(topic, out.message, event_id)
        try:
            await asyncio.wait_for(
                self._producer.send_and_wait(
                    topic.name,
                    out.message.SerializeToString(),
                    key=out.key,
                    headers=encode_headers(out, self._service, current_traceparent()),
                ),
                self._timeout_s,
            )
        except (TimeoutError, KafkaError) as error:
            raise UnavailableError(f"{topic.name} did not take an event: {type(error).__name__}") from None
