"""The gateway's two ends on the bus: utterances out, outcomes in. Connects by itself, whenever the broker is there."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiokafka.errors import KafkaError
from google.protobuf.message import Message

from multimood import topics
from multimood.access import ACCESS
from multimood.bus import Follower, Publisher, Received
from multimood.bus.probe import Diagnosis
from multimood.contracts.v1 import events_pb2 as pb
from multimood.contracts.v1 import gateway_pb2 as gw
from multimood.errors import RefusedError, UnavailableError
from multimood.settings import KafkaSettings
from multimood.topics import GIVES_UP, Topic
from services.gateway.outcomes import Outcomes
from services.gateway.turn import Key

logger = logging.getLogger(__name__)

SERVICE: Final = "gateway"
FOLLOWED: Final = ACCESS[SERVICE].looks_into
RETRY_S: Final = (0.2, 5.0)


class _OutcomeFollower(Follower):
    """Follows what tells an outcome; of the dead letters only those topics that can end one."""

    def __init__(self, settings: KafkaSettings, since_s: float) -> None:
        super().__init__(settings, FOLLOWED, since_s)
        self._names += GIVES_UP
        self._dead = {topic.dead_letters: topic for topic in topics.TOPICS if topic.dead_letters in GIVES_UP}


class BusLink:
    """Publishes durably and feeds `outcomes` with what the other services publish."""

    def __init__(self, settings: KafkaSettings, outcomes: Outcomes, *, history_s: float) -> None:
        self._settings = settings
        self._diagnosis = Diagnosis(settings)
        self._outcomes = outcomes
        self._history_s = history_s
        self._publisher: Publisher | None = None
        self._follower: Follower | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.caught_up = False
        """Everything was read that existed when following began."""

    async def start(self) -> None:
        """Begin to connect; returns at once."""
        work = (self._connect_publisher, self._follow)
        self._tasks = [asyncio.create_task(self._persist(step), name=step.__name__) for step in work]

    async def stop(self) -> None:
        """Disconnect."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._publisher is not None:
            await self._publisher.stop()

    async def publish(self, topic: Topic, message: Message, event_id: str | None = None) -> None:
        """Publish one event; returns when it is durable. Raises UnavailableError."""
        if self._publisher is None:
            raise UnavailableError(f"the broker at {self._settings.brokers} cannot be reached yet")
        await self._publisher.publish(topic, message, event_id)

    async def reachable(self) -> bool:
        """Ask the broker something; also whether it lets us do our work."""
        if self._publisher is None or self._publisher.refused or (self._follower and self._follower.refusals):
            return False
        return await self._publisher.reachable()

    async def _persist(self, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat a step that needs the broker until it succeeds."""
        pause = RETRY_S[0]
        while True:
            try:
                return await step()
            except (UnavailableError, KafkaError, OSError) as error:
                self._tell(step.__name__, await self._diagnosis.why(error, "connecting"))
            except Exception:
                logger.exception("following failed, beginning again")
            await asyncio.sleep(pause)
            pause = min(2 * pause, RETRY_S[1])

    def _tell(self, step: str, found: UnavailableError) -> None:
        level = logging.ERROR if isinstance(found, RefusedError) else logging.WARNING
        logger.log(level, "waiting for the broker", extra={"for": step, "code": found.code, "reason": str(found)})

    async def _connect_publisher(self) -> None:
        publisher = Publisher(self._settings, SERVICE)
        try:
            await publisher.start()
        except BaseException:
            with contextlib.suppress(Exception):
                await publisher.stop()
            raise
        self._publisher = publisher
        logger.info("publishing", extra={"brokers": self._settings.brokers})

    async def _follow(self) -> None:
        follower = _OutcomeFollower(self._settings, self._history_s)
        await follower.start()
        self._follower = follower
        logger.info("following", extra={"topics": [topic.name for topic in FOLLOWED], "since_s": self._history_s})
        watcher = asyncio.create_task(self._note_caught_up(follower))
        try:
            async for received in follower:
                self._see(received)
        finally:
            watcher.cancel()
            await follower.stop()

    async def _note_caught_up(self, follower: Follower) -> None:
        await follower.caught_up.wait()
        self.caught_up = True
        logger.info("caught up", extra={"outcomes": len(self._outcomes)})

    def _see(self, received: Received) -> None:
        if received.dead_letter:
            if GIVES_UP[received.topic.dead_letters] == received.stage:
                tenant, _, conversation = received.key.partition("/")
                rejected = gw.Rejected(stage=received.stage, reason=received.reason)
                self._outcomes.see(Key(tenant, conversation, received.utterance_id), rejected)
        elif isinstance(received.message, pb.Erasure):
            self._outcomes.forget(received.message.context.tenant, received.message.context.conversation_id)
        elif received.message is not None:
            context = received.message.context  # type: ignore[attr-defined]
            self._outcomes.see(Key(context.tenant, context.conversation_id, context.utterance_id), received.message)
