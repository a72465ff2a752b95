"""Feedback into its own table. It is joined to the experience by whoever reads: it may come days later."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, cast

from google.protobuf.message import Message

from multimood import topics
from multimood.bus import Bus, Delivery, Event
from multimood.bus.envelope import decode
from multimood.errors import InvalidEventError
from multimood.experience.naming import RATINGS
from multimood.experience.record import feedback_row
from multimood.experience.writer import LogWriter
from multimood.privacy.pseudonyms import Pseudonyms
from multimood.telemetry import meter
from services.reward.core import origin_of
from services.reward.memory import Memory

if TYPE_CHECKING:
    from multimood.contracts.v1 import events_pb2 as pb

logger = logging.getLogger(__name__)

MOST_UNKNOWN: Final = 2_000
"""Feedback that waits to learn about its utterance; beyond it the oldest waits no longer."""


class FeedbackLog:
    """Writes feedback about utterances that are in the log.

    The gateway's feedback names the utterance and carries no consent of its own. What was allowed is known from the
    utterance's trust score. A quick thumbs-up is there before that, and waits for it. Of an utterance that nothing
    is known of any more, the feedback's own consent decides; without it the feedback is let go when the wait is over.
    """

    def __init__(self, bus: Bus, log: LogWriter, memory: Memory, wait_s: float, pseudonyms: Pseudonyms) -> None:
        self._bus = bus
        self._log = log
        self._memory = memory
        self._wait_s = wait_s
        self._pseudonyms = pseudonyms
        self._tasks: set[asyncio.Task[None]] = set()
        self._unknown: dict[asyncio.Future[None], str] = {}
        """What waits, oldest first, and for which utterance."""
        self._by_key: dict[str, set[asyncio.Future[None]]] = defaultdict(set)
        memory.follow(self._learned)
        self._outcomes = meter().create_counter("multimood.reward.feedback", description="Feedback by outcome")
        self.held = 0
        """Records that wait for something else."""

    async def process(self, deliveries: Sequence[Delivery]) -> None:
        """Begin with each; what cannot be decoded goes to the dead letters."""
        for delivery in deliveries:
            record = delivery.record
            try:
                event = decode(delivery.topic, record.value, record.headers, record.key, delivery.received_at_us)
            except InvalidEventError as error:
                await self._bus.dead_letter(delivery, error, 1)
                self._count("invalid")
                delivery.done()
                continue
            task = asyncio.create_task(self._take(delivery, event))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def reset(self) -> None:
        """Let go what waits: it will be delivered again to whoever owns the partition then."""
        for task in self._tasks:
            task.cancel()

    async def drain(self, grace_s: float) -> None:
        """Let what is being written be written; what waits to be told of stays unacknowledged."""
        for turn in tuple(self._unknown):
            turn.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)

    async def _take(self, delivery: Delivery, event: Event[Message]) -> None:
        self.held += 1
        try:
            outcome = await self._log_it(delivery, event)
        except Exception as error:
            logger.exception("dead letter", extra={"cause": type(error).__name__})
            await self._bus.dead_letter(delivery, error, 1)
            outcome = "dead_letter"
        finally:
            self.held -= 1
        self._count(outcome)
        delivery.done()

    async def _log_it(self, delivery: Delivery, event: Event[Message]) -> str:
        if not await self._allowed(event):
            return "not_in_log"
        origin = origin_of(delivery)
        message = cast("pb.Feedback", event.message)
        row = feedback_row(message, event.id, origin, pseudonyms=self._pseudonyms)
        await self._log.add(RATINGS.key(origin), row)
        return "written"

    async def _allowed(self, event: Event[Message]) -> bool:
        key = event.utterance
        known = self._memory.in_log(key)
        if known is not None:
            return known
        if cast("pb.Feedback", event.message).context.privacy.learning_consent:
            return True
        await self._wait(key)
        return bool(self._memory.in_log(key))

    async def _wait(self, key: str) -> None:
        """Until something is known of the utterance, or the wait is over."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unknown[turn] = key
        self._by_key[key].add(turn)
        if len(self._unknown) > MOST_UNKNOWN:
            self._end(next(iter(self._unknown)))
        try:
            async with asyncio.timeout(self._wait_s):
                await turn
        except TimeoutError:
            return
        finally:
            self._forget(turn)

    def _learned(self, key: str) -> None:
        for turn in tuple(self._by_key.get(key, ())):
            self._end(turn)

    def _end(self, turn: "asyncio.Future[None]") -> None:
        self._forget(turn)
        if not turn.done():
            turn.set_result(None)

    def _forget(self, turn: "asyncio.Future[None]") -> None:
        key = self._unknown.pop(turn, None)
        if key is not None:
            self._by_key[key].discard(turn)
            if not self._by_key[key]:
                del self._by_key[key]

    def _count(self, outcome: str) -> None:
        self._outcomes.add(1, {"outcome": outcome, "topic": topics.FEEDBACK.name})
