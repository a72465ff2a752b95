"""One event in, its outputs out: the processor behind every service but the joining ones."""

import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from google.protobuf.message import Message
from opentelemetry.trace import INVALID_SPAN, Span

from multimood.bus.delivery import Bus, Delivery
from multimood.bus.envelope import Event, Output, decode
from multimood.bus.keyed import KeyedExecutor
from multimood.bus.retry import RetryPolicy, code_of, is_retryable
from multimood.clock import loop_time
from multimood.errors import InvalidEventError
from multimood.seen import SeenIds
from multimood.telemetry import Tally, current_traceparent, remote_context, tracer
from multimood.topics import Topic

logger = logging.getLogger(__name__)

Handle = Callable[[Event[Message]], Awaitable[Sequence[Output]]]
After = Callable[[Event[Message]], Awaitable[None]]

SEEN_IDS = 50_000
ANSWERED = frozenset({"done", "exhausted"})
MOVED = "moved"
AFTER = ANSWERED | {"duplicate"}
"""Nothing needs the event's input any more; a dead letter does, it may be replayed."""

_outcomes = Tally("multimood_events", "Events by service, topic and outcome", ("service", "topic", "outcome"))


class Handler:
    """Calls `handle` for every event, in order per conversation and concurrently across conversations.

    A record is done when its outputs are durable. Errors: retried inside the policy's budget if they say so, else the
    original bytes go to the dead letters. `answers` names the output that marks an event as dealt with; if that was
    published before (by us or by whoever had the partition), the event is a duplicate and is only acknowledged.

    `after` is called when an event's outputs are durable, before it is acknowledged, and again when it comes again: it
    may be missed by no crash. It must not raise.

    `capacity` bounds the events held over all partitions; the consumer's limits per partition are met long before.
    """

    def __init__(
        self,
        service: str,
        bus: Bus,
        handle: Handle,
        *,
        owns: Sequence[Topic],
        answers: Callable[[Event[Message]], str | None] | None = None,
        recovers: Sequence[tuple[Topic, int | None]] = (),
        on_recovered: Callable[[Event[Message]], None] | None = None,
        on_exhausted: Handle | None = None,
        after: After | None = None,
        concurrency: int = 16,
        capacity: int = 10_000,
        retry: RetryPolicy | None = None,
    ) -> None:
        self.recovers = recovers
        self._service = service
        self._bus = bus
        self._handle = handle
        self._owns = frozenset(topic.name for topic in owns)
        self._answers = answers
        self._on_recovered = on_recovered
        self._on_exhausted = on_exhausted
        self._after = after
        self._retry = retry or RetryPolicy()
        self._rng = random.Random(random.getrandbits(64))  # noqa: S311 - jitter, which a seed makes repeatable
        self._seen = SeenIds(SEEN_IDS)
        self._recovered = {topic.name: SeenIds(SEEN_IDS) for topic, _ in recovers}
        self._executor: KeyedExecutor[tuple[Delivery, Event[Message]]] = KeyedExecutor(
            self._work, concurrency=concurrency, capacity=capacity, on_error=bus.crash
        )

    @property
    def held(self) -> int:
        """Events waiting or being handled."""
        return self._executor.held

    def recover(self, topic: Topic, event: Event[Message]) -> None:
        """Remember what was answered; hand state records to the service."""
        ids = self._recovered.get(topic.name)
        if ids is not None:  # else a topic that is followed for its content
            ids.add(event.id)
        if self._on_recovered is not None:
            self._on_recovered(event)

    async def process(self, deliveries: Sequence[Delivery]) -> None:
        """Decode and queue; what cannot be decoded the topic's owner dead-letters and everyone else skips."""
        for delivery in deliveries:
            if delivery.moved:  # while an earlier one of these waited
                return
            record = delivery.record
            try:
                event = decode(delivery.topic, record.value, record.headers, record.key, delivery.received_at_us)
            except InvalidEventError as error:
                self._count(delivery.topic, "invalid")
                if delivery.topic.name in self._owns:
                    await self._bus.dead_letter(delivery, error, 1)
                delivery.done()
                continue
            await self._executor.submit(event.key, (delivery, event))

    def reset(self) -> None:
        """Drop what waits; what runs ends, and says nothing unless it was just saying it."""
        self._executor.drop_waiting()

    async def drain(self, grace_s: float) -> None:
        """Let running events end."""
        await self._executor.drain(grace_s)

    def _count(self, topic: Topic, outcome: str) -> None:
        _outcomes.add(self._service, topic.name, outcome)

    async def _work(self, item: tuple[Delivery, Event[Message]]) -> None:
        delivery, event = item
        if delivery.moved:
            return
        outcome = await self._outcome(delivery, event)
        self._count(event.topic, outcome)
        if self._after is not None and outcome in AFTER:
            await self._after(event)
        if outcome != MOVED:
            delivery.done()

    async def _outcome(self, delivery: Delivery, event: Event[Message]) -> str:
        try:
            answer = self._answers(event) if self._answers is not None else None
        except Exception as error:  # noqa: BLE001 - see _attempt
            return await self._to_dead_letters(delivery, event, error, 1)
        if answer is not None and self._is_answered(answer):
            return "duplicate"
        with self._span(event) as span:
            outcome = await self._attempt(delivery, event)
            span.set_attribute("multimood.outcome", outcome)
        if answer is not None and outcome in ANSWERED:  # a dead letter may be replayed
            self._seen.add(answer)
        return outcome

    def _is_answered(self, answer: str) -> bool:
        return answer in self._seen or any(answer in ids for ids in self._recovered.values())

    @contextmanager
    def _span(self, event: Event[Message]) -> Iterator[Span]:
        context = remote_context(event.traceparent)
        if context is None:  # nobody traces this utterance
            yield INVALID_SPAN
            return
        attributes = {
            "multimood.utterance_id": event.message.context.utterance_id,  # type: ignore[attr-defined]
            "messaging.destination.name": event.topic.name,
        }
        name = f"{self._service} {event.topic.name.split('.', 1)[1]}"
        with tracer().start_as_current_span(name, context, attributes=attributes) as span:
            yield span

    async def _attempt(self, delivery: Delivery, event: Event[Message]) -> str:
        began = loop_time()
        pauses = self._retry.pauses(self._rng, lambda: loop_time() - began)
        attempts = 0
        while True:
            attempts += 1
            try:
                outputs = await self._handle(event)
                if delivery.moved:  # whoever has it now will say the same, and one of us is enough
                    return MOVED
                await self._emit(event, outputs)
            except Exception as error:  # noqa: BLE001 - whatever a handler raises must not lose its record
                pause = next(pauses, None) if is_retryable(error) else None
                if delivery.moved:  # another worker has it now, or we get it again: no verdict from this attempt
                    return MOVED
                if pause is None:
                    return await self._give_up(delivery, event, error, attempts)
                logger.debug(
                    "will try again", extra={"code": code_of(error), "attempt": attempts, "pause_s": round(pause, 3)}
                )
            else:
                return "done"
            await self._executor.rest(pause)
            if delivery.moved:
                return MOVED

    async def _emit(self, event: Event[Message], outputs: Sequence[Output]) -> None:
        await self._bus.emit(outputs, current_traceparent() or event.traceparent)

    async def _give_up(self, delivery: Delivery, event: Event[Message], error: Exception, attempts: int) -> str:
        if self._on_exhausted is None or not is_retryable(error):
            return await self._to_dead_letters(delivery, event, error, attempts)
        logger.warning("gave up on a dependency", extra=self._where(event, error, attempts))
        try:
            await self._emit(event, await self._on_exhausted(event))
        except Exception as second:  # noqa: BLE001 - see _attempt
            return await self._to_dead_letters(delivery, event, second, attempts)
        return "exhausted"

    async def _to_dead_letters(self, delivery: Delivery, event: Event[Message], error: Exception, attempts: int) -> str:
        logger.error("dead letter", extra=self._where(event, error, attempts), exc_info=error)
        await self._bus.dead_letter(delivery, error, attempts)
        return "dead_letter"

    @staticmethod
    def _where(event: Event[Message], error: Exception, attempts: int) -> dict[str, object]:
        return {"code": code_of(error), "attempts": attempts, "topic": event.topic.name, "event_id": event.id}
