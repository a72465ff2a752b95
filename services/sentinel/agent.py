"""The sentinel on the bus: events in; escalation, vetted reply and screening out, in this order; notices beside them.

Why this order, and why nothing but the broker is needed:

- The screening is what the joiner waits for. Published last, it lets nobody go on before the crisis reply is durable,
  so the responder, which follows the replies, can never be first with another one.
- The escalation comes before the reply: a human who has to act is told first. It takes one round trip to the broker.
- The input is acknowledged after the last output. A crash after the escalation: the record is read again, the
  escalation is known (recovered from its topic) and not repeated, the reply and the screening follow. After the reply:
  only the screening follows. After the screening: nothing is repeated. Before anything: everything is done, late.
- If that takes longer than the joiner waits, the utterance goes on as "unscreened". The responder then finds the
  reply and keeps silent; or it has answered with its own vetted text, and the sentinel, which follows the replies too,
  publishes screening and escalation but no second reply.
- A replay is screened again rather than recognised by its id: it costs microseconds, and what is published is what the
  bus lacks. So an utterance whose words differ from its transcript, in whatever order they come, ends with the graver
  verdict, and a crisis in either is escalated.
- What a conversation's person said so far may make a screening "low" that would be "none": advice, which raises no
  escalation. It is counted here alone and gone with the process or the partition. A replay is told what was thought
  when its utterance was counted.
- Which escalations are open is known from their topic and that of the acknowledgements: read back whole with a
  partition, followed while we have it, whoever writes them. An event whose partition moves while it is screened is
  taken up anew: by then its conversation's escalations are forgotten here, and it would not be held.
"""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from google.protobuf.message import Message

from multimood import topics
from multimood.bus import Bus, Event, Following, Handler, HopClock, Output, Processor
from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnavailableError
from multimood.safety import Counts, Handovers, PersonJudge, Persons, Screener, Told, Verdict
from multimood.telemetry import current_traceparent, meter
from services.sentinel.answer import Approved, Opinion, outputs_of
from services.sentinel.notices import Notices
from services.sentinel.said import Said
from services.sentinel.settings import SentinelSettings
from services.sentinel.words import Wordless, words_of

logger = logging.getLogger(__name__)

Heard: TypeAlias = tuple[Verdict, Counts | None]
"""What was thought of an event's words, and, where persons are judged, their counts."""

SERVICE = "sentinel"
FOLLOWED = (topics.REPLY, topics.ESCALATION, topics.ACKNOWLEDGEMENT, topics.ERASURE)
INPUTS = (topics.UTTERANCE, topics.TRANSCRIPT, *FOLLOWED)
RECOVERS = (
    (topics.ACKNOWLEDGEMENT, None), (topics.ESCALATION, None), (topics.REPLY, 4_000), (topics.SCREENING, 4_000),
)  # fmt: skip
"""Acknowledgements first, so that none that was closed seems open for a moment."""

_screenings = meter().create_counter("multimood.screenings", description="Screenings by level")
_escalation = meter().create_histogram(
    "multimood.escalation.duration", unit="ms", description="Words received to escalation durable"
)


class PartitionMovedError(UnavailableError):
    """What was known of the conversation was forgotten while its event was screened: it has to be taken up anew."""

    code = "partition_moved"


class Sentinel:
    """Screens events and publishes what the bus does not know yet."""

    def __init__(
        self,
        bus: Bus,
        screener: Screener,
        approved: Approved,
        settings: SentinelSettings,
        judge: PersonJudge | None = None,
    ) -> None:
        """Without a `judge`, or where the policy wants no advice, nothing is kept of persons."""
        least = approved.policy.low.person
        self.handovers = Handovers()
        self.persons = None if judge is None or least is None else Persons(judge, least)
        self._epoch = self.handovers.epoch
        self._bus = bus
        self._screener = screener
        self._approved = approved
        self._inline_chars = settings.inline_chars
        # One thread: long texts wait for each other, never the short ones for them.
        self._aside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="screen")
        self._said = Said()
        self._told = Told()

    def learn(self, event: Event[Message]) -> None:
        """Take note of a record of a topic that the sentinel writes or follows, whoever wrote it."""
        self._learn(event.message)

    def _learn(self, message: Message) -> None:
        if isinstance(message, pb.Erasure):
            self._forget(message.context)
            return
        if isinstance(message, (pb.Escalation, pb.Acknowledgement)):
            self.handovers.see(message)
        if isinstance(message, pb.Reply):
            self._told.add(message)
        if not isinstance(message, pb.Acknowledgement):
            self._said.add(message)

    def _forget(self, erased: pb.Context) -> None:
        """What is counted of a conversation goes with what was said in it; an open escalation still needs a human."""
        if self.persons is not None:
            self.persons.forget(erased)

    async def handle(self, event: Event[Message]) -> Sequence[Output]:
        """Screen the event's words and publish what follows; gives nothing that is left to publish."""
        message, clock = event.message, HopClock.of(SERVICE, event)
        assert isinstance(message, (pb.Utterance, pb.Transcript))
        words = words_of(message)
        if words is None:
            return ()
        epoch = self.handovers.epoch
        heard = words if isinstance(words, Wordless) else await self._screen(words, message.context.locale)
        if self.handovers.epoch != epoch:
            raise PartitionMovedError("the partition moved while an event was screened; it is screened again")
        opinion = self._judge(message.context, heard)
        said_us = now_us()
        open_ = self.handovers.open_in(message.context, said_us)
        told = self._told.before(message.context)
        traceparent = current_traceparent() or event.traceparent
        for out in outputs_of(message.context, opinion, self._approved, open_, clock.hop(), said_us, told):
            if self._said.lacks(out.message):
                await self._bus.emit((out,), traceparent)
                self._said.add(out.message)
                if isinstance(out.message, pb.Reply):
                    self._told.add(out.message)
                if isinstance(out.message, pb.Escalation) and self.handovers.epoch == epoch:
                    # At once: the person's next words must be held before it comes back from the topic.
                    self.handovers.see(out.message)
                self._measure(event, out)
        return ()

    async def _screen(self, words: str, locale: str) -> Heard:
        def heard() -> Heard:
            verdict = self._screener.screen(words, locale)
            return verdict, None if self.persons is None else Counts.of(words, verdict, self._screener.rules)

        if len(words) <= self._inline_chars:
            return heard()
        return await asyncio.get_running_loop().run_in_executor(self._aside, heard)

    def _judge(self, context: pb.Context, heard: Heard | Wordless) -> Opinion:
        """The opinion that counts. The one place where an utterance is judged, and what its conversation says with it.

        Called for one utterance of a conversation after another. It may be called again for the same one.
        """
        if isinstance(heard, Wordless):
            return Opinion.on_nothing(heard, self._screener.version)
        verdict, counts = heard
        opinion = Opinion.of(verdict)
        if self.persons is None or counts is None:
            return opinion
        if self._epoch != self.handovers.epoch:  # partitions moved: others have counted since, or will
            self.persons.clear()
            self._epoch = self.handovers.epoch
        return opinion.advised(self.persons.version, at_risk=self.persons.at_risk(context, counts))

    @staticmethod
    def _measure(event: Event[Message], out: Output) -> None:
        match out.message:
            case pb.Screening(level=level):
                _screenings.add(1, {"level": pb.RiskLevel.Name(level)})
            case pb.Escalation(context=context, level=level, escalation_id=identity, notify=notify):
                _escalation.record((now_us() - event.received_at_us) / 1000)
                risk = pb.RiskLevel.Name(level)
                where = {"utterance_id": context.utterance_id, "escalation_id": identity}
                logger.warning("escalated", extra={**where, "risk": risk, "notify": notify})


def processor(
    bus: Bus, screener: Screener, approved: Approved, settings: SentinelSettings, judge: PersonJudge | None = None
) -> Processor:
    """The sentinel's processor."""
    sentinel = Sentinel(bus, screener, approved, settings, judge)
    handler = Handler(
        SERVICE,
        bus,
        sentinel.handle,
        owns=(),
        recovers=RECOVERS,
        on_recovered=sentinel.learn,
        concurrency=settings.concurrency,
    )
    return Notices(Following(handler, *FOLLOWED), bus, sentinel.handovers, approved.policy)
