"""Feedback into its own table. It is joined to the experience by whoever reads: it may come days later."""

import asyncio
import logging
from collections import deque
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
    utterance's trust score, which may come a little later than a quick thumbs-up. Of an utterance that nothing is known
    of any more, the feedback's own consent decides; without it the feedback is let go.
    """

    def __init__(self, bus: Bus, log: LogWriter, memory: Memory, wait_s: float, pseudonyms: Pseudonyms) -> None:
        self._bus = bus
        self._log = log
        self._memory = memory
        self._wait_s = wait_s
        self._pseudonyms = pseudonyms
        self._tasks: set[asyncio.Task[None]] = set()
        self._unknown: deque[asyncio.Future[None]] = deque()
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
        for turn in self._unknown:
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
        await self._wait()
        return bool(self._memory.in_log(key))

    async def _wait(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unknown.append(turn)
        while len(self._unknown) > MOST_UNKNOWN:
            oldest = self._unknown.popleft()
            if not oldest.done():
                oldest.set_result(None)
        try:
            async with asyncio.timeout(self._wait_s):
                await turn
        except TimeoutError:
            return

    def _count(self, outcome: str) -> None:
        self._outcomes.add(1, {"outcome": outcome, "topic": topics.FEEDBACK.name})
