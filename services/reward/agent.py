"""The reward service on the bus: decision and reply in, trust score out, and the row on S3 before any is acknowledged.

The order of things makes it safe to be killed at any point. First the score goes out: nobody waits for S3. Then the row
is written, with that very score in it. Only then are the records acknowledged. Whoever reads them again finds the score
among the recovered ones, publishes no other, and merges the row into the object that the score names, where it already
is or not.
"""

import asyncio
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, cast

from google.protobuf.message import Message
from opentelemetry import trace

from multimood import topics
from multimood.bus import Bus, Delivery, Event, HopClock, JoinedParts, Joining, Part, output
from multimood.bus.acks import Limits
from multimood.contracts.v1 import events_pb2 as pb
from multimood.experience.naming import DECISIONS, REPLIES, of_this_version
from multimood.experience.record import Origin, row_of
from multimood.experience.sealing import RowSeals
from multimood.experience.writer import LogWriter
from multimood.join import Join
from multimood.privacy.keys import ErasedError
from multimood.privacy.pseudonyms import Pseudonyms
from multimood.telemetry import current_traceparent, meter, remote_context, span_link, tracer
from multimood.topics import Topic
from services.reward.core import SERVICE, may_learn, origin_of, required
from services.reward.feedback import FeedbackLog
from services.reward.memory import Memory
from services.reward.scoring import Scorer
from services.reward.settings import RewardSettings

logger = logging.getLogger(__name__)

INPUTS: Final = (topics.DECISION, topics.REPLY, topics.FEEDBACK)
OWNS: Final = (topics.REPLY,)
BYTES_IN_WORK: Final = 64 << 20
"""Of one partition."""
AT_ONCE: Final = 1_000_000
"""Utterances being finished: no bound. Each partition has its limits, and a common one would let a topic that waits for
S3 keep the others from being scored."""


class Reward:
    """Scores what the join gives, and logs it."""

    def __init__(
        self,
        bus: Bus,
        scorer: Scorer,
        log: LogWriter,
        memory: Memory,
        *,
        bucket: str,
        pseudonyms: Pseudonyms,
        seals: RowSeals | None = None,
    ) -> None:
        self._bus = bus
        self._scorer = scorer
        self._log = log
        self._memory = memory
        self._bucket = bucket
        self._pseudonyms = pseudonyms
        self._seals = seals
        self._busy: dict[str, asyncio.Event] = {}
        self.held = 0
        """Records that wait for their row to be durable."""
        self._scored = meter().create_counter(
            "multimood.reward.replies", description="Replies scored, by what is known"
        )
        self._erased = meter().create_counter(
            "multimood.reward.erased", description="Rows not written: the person was erased after they said it"
        )

    async def finish(self, joined: JoinedParts) -> None:
        """Publish the score and write the row. An utterance is finished by one task at a time."""
        while (other := self._busy.get(joined.key)) is not None:
            await other.wait()
        mine = self._busy[joined.key] = asyncio.Event()
        try:
            await self._finish(joined)
        finally:
            del self._busy[joined.key]
            mine.set()

    async def _finish(self, joined: JoinedParts) -> None:
        decision = cast("pb.Decision | None", _message(joined.parts, topics.DECISION))
        reply = cast("pb.Reply | None", _message(joined.parts, topics.REPLY))
        origin = _origin(joined.tickets, topics.REPLY)
        consent = may_learn((decision, reply))
        trust = self._memory.score_of(joined.key)
        if trust is None and reply is not None and origin is not None:
            place = f"{self._bucket}/{REPLIES.key(origin)}" if consent else ""
            trust = await self._score(joined, decision, reply, place)
        if not consent or (trust is not None and not trust.experience_key):
            return
        if trust is not None:
            # Whatever the bucket was called then, and whichever version of the log was written.
            key = of_this_version(trust.experience_key.partition("/")[2])
        else:
            logger.warning("a decision without its reply", extra={"utterance_id": joined.key.rpartition("/")[2]})
            key = DECISIONS.key(cast("Origin", _origin(joined.tickets, topics.DECISION)))
        self.held += len(joined.tickets)
        try:
            row = row_of(decision, reply, trust, origin, pseudonyms=self._pseudonyms)
            if self._seals is not None:
                known = [message for message in (decision, reply) if message is not None]
                subject = self._pseudonyms.subject(known[0].context)
                row = await self._seals.sealed(row, subject, _said_at_us(known, joined.tickets))
            await self._log.add(key, row)
        except ErasedError:
            self._erased.add(1)
        finally:
            self.held -= len(joined.tickets)

    async def _score(
        self, joined: JoinedParts, decision: pb.Decision | None, reply: pb.Reply, place: str
    ) -> pb.TrustScore:
        clock = HopClock(SERVICE, max(part.received_at_us for part in joined.parts.values()))
        with _span(joined.parts, complete=decision is not None):
            score = await self._scorer.score(decision, reply, clock, place)
            traceparent = current_traceparent() or joined.parts[topics.REPLY.name].traceparent
            await self._bus.emit((output(topics.TRUST, score),), traceparent)
        self._memory.remember(joined.key, score)
        self._scored.add(1, {"known": "all" if decision is not None else "reply_only"})
        if decision is None:
            logger.warning("scored without its decision", extra={"utterance_id": reply.context.utterance_id})
        return score


class RewardProcessor:
    """Decisions and replies to the join, feedback to its log, published scores to the memory."""

    def __init__(
        self, bus: Bus, reward: Reward, feedback: FeedbackLog, *, logs: Sequence[LogWriter], memory: Memory,
        settings: RewardSettings,
    ) -> None:  # fmt: skip
        self.limits = Limits(
            records=settings.rows_waiting, bytes=BYTES_IN_WORK, together=settings.decisions_waiting // 2
        )
        self.recovers: Sequence[tuple[Topic, int | None]] = ((topics.TRUST, settings.remembers),)
        self._reward = reward
        self._feedback = feedback
        self._logs = logs
        self._memory = memory
        self._join: Join[Part, Delivery] = Join(
            self._required,
            deadline_s=settings.decision_wait_s,
            orphan_s=settings.reply_wait_s,
            capacity=settings.decisions_waiting,
            ends=lambda parts: len(parts) > 1,
        )
        self._joining = Joining(SERVICE, bus, self._join, reward.finish, owns=OWNS, concurrency=AT_ONCE)

    @property
    def held(self) -> int:
        """Records that wait for another service or for S3."""
        return self._join.held + self._reward.held + self._feedback.held

    def recover(self, topic: Topic, event: Event[Message]) -> None:
        """Remember a published score. It does not end its key: its row may not have been written any more."""
        if topic is topics.TRUST:
            self._memory.remember(event.utterance, cast("pb.TrustScore", event.message))

    async def process(self, deliveries: Sequence[Delivery]) -> None:
        """Take the deliveries of one partition."""
        feedback = [delivery for delivery in deliveries if delivery.topic is topics.FEEDBACK]
        if feedback:
            await self._feedback.process(feedback)
        if len(feedback) < len(deliveries):
            await self._joining.process([delivery for delivery in deliveries if delivery.topic is not topics.FEEDBACK])

    def reset(self) -> None:
        """Forget pending joins, and feedback that waits."""
        self._joining.reset()
        self._feedback.reset()

    async def drain(self, grace_s: float) -> None:
        """Write now what waits to be written."""
        for log in self._logs:
            log.hurry()
        await asyncio.gather(self._joining.drain(grace_s), self._feedback.drain(grace_s))

    def _required(self, parts: Mapping[str, Part]) -> Collection[str] | None:
        key = next(iter(parts.values())).utterance
        return required(parts, scored=self._memory.score_of(key) is not None)


def _message(parts: Mapping[str, Part], topic: Topic) -> Message | None:
    part = parts.get(topic.name)
    return part.message if part is not None else None


def _origin(deliveries: Collection[Delivery], topic: Topic) -> Origin | None:
    """Where the part that was kept lies: of two of one kind the first stays."""
    return next((origin_of(delivery) for delivery in deliveries if delivery.topic is topic), None)


def _said_at_us(messages: Sequence[pb.Decision | pb.Reply], deliveries: Collection[Delivery]) -> int:
    """When the utterance came, by our own clocks: the first hop that is known, else when its records were appended."""
    hops = [hop.received_at_us for message in messages for hop in message.hops if hop.received_at_us > 0]
    return min(hops, default=0) or min(origin_of(delivery).timestamp_ms * 1000 for delivery in deliveries)


@contextmanager
def _span(parts: Mapping[str, Part], *, complete: bool) -> Iterator[None]:
    """A span below the reply's, linked with the decision's; none when nobody traces this utterance."""
    anchor = parts[topics.REPLY.name]
    context = remote_context(anchor.traceparent)
    if context is None:
        yield
        return
    links = [link for part in parts.values() if (link := span_link(part.traceparent)) is not None]
    utterance_id: str = anchor.message.context.utterance_id  # type: ignore[attr-defined]
    attributes: dict[str, str | bool] = {"multimood.utterance_id": utterance_id, "multimood.complete": complete}
    with tracer().start_as_current_span("reward trust", context, trace.SpanKind.INTERNAL, attributes, links):
        yield
