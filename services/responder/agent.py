"""The responder on the bus: a decision in, pieces of a reply while it is written, then the reply.

An utterance gets one reply. Ours and the sentinel's have the same id; those published before an assignment are
recovered, those of the sentinel that come later are followed, and a reply that appears while ours is being written ends
it. After a crash in the middle the decision is read again: a new attempt with the same seed, under a new attempt id, so
that its pieces are not taken for the first one's. What the guard refuses is written anew (`attempts.py`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from google.protobuf.message import Message

from multimood import topics
from multimood.bus import Bus, Event, Following, Handler, HopClock, Output, Processor, output
from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import MultimoodError
from multimood.generation import Ask, Patience, ReplyPrompt, patiently
from multimood.generation.draft import Draft
from multimood.safety import Kind, Told, Verdict, VettedReplies
from multimood.seen import SeenIds
from multimood.telemetry import current_traceparent, meter
from multimood.trust.case import TrustCase
from multimood.trust.guard import MOST_CHARACTERS, guard
from multimood.trust.logged import case_of
from multimood.trust.patterns import ReplyRules
from services.responder.attempts import Attempt, Write, attempted, tokens_of
from services.responder.plan import Generate, SayVetted, Silence, dialogue_of, plan_of, situation_of, without_model
from services.responder.replies import about, delta, fallback, generated, seed_of
from services.responder.served import Chosen, Served
from services.responder.settings import ResponderSettings
from services.responder.writing import NotWritten, Writing, Written

logger = logging.getLogger(__name__)

SERVICE = "responder"
INPUTS = (topics.DECISION, topics.REPLY)
RECOVERS = ((topics.REPLY, 4_000),)
REMEMBERED = 50_000

_replies = meter().create_counter("multimood.replies", description="Replies by source and reason")
_first = meter().create_histogram(
    "multimood.first_token.duration", unit="ms", description="Decision received to the model's first token"
)
_attempts = meter().create_counter(
    "multimood.reply.attempts", description="Attempts at replies, by what became of them"
)
_tokens = meter().create_counter("multimood.tokens", description="Tokens by kind: prompt, completion")


class AnsweredElsewhere(Exception):  # noqa: N818 - nothing is wrong
    """Somebody else's reply to this utterance is on the bus."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What people have written for the responder."""

    prompt: ReplyPrompt
    replies: VettedReplies
    rules: ReplyRules

    @classmethod
    def load(cls, settings: ResponderSettings) -> "Texts":
        """Read the shipped files or the operator's. Raises ConfigurationError."""
        texts = cls(
            ReplyPrompt.load(settings.prompt),
            VettedReplies.load(settings.replies),
            ReplyRules.load(settings.reply_rules),
        )
        guard("Hello.", Verdict("none", (), 0.0, ""), texts.rules)  # it reads its other files when first asked
        return texts


Score = Callable[[TrustCase], Awaitable[float | None]]
"""What the local judges make of a reply, 0..1: the reward without a reference."""


async def nobody(_case: TrustCase) -> float | None:
    """There are no judges here."""
    return None


class Responder:
    """Answers decisions."""

    def __init__(
        self,
        bus: Bus,
        served: Served,
        texts: Texts,
        settings: ResponderSettings,
        score: Score = nobody,
    ) -> None:
        """`score` is asked only where there are several candidates."""
        self._bus = bus
        self._score = score
        self._served = served
        self._texts = texts
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.generations)
        self._answered = SeenIds(REMEMBERED)
        self._told = Told()

    def learn(self, event: Event[Message]) -> None:
        """Take note of a reply, whoever wrote it."""
        self._answered.add(event.id)
        if isinstance(event.message, pb.Reply):
            self._told.add(event.message)

    @staticmethod
    def answers(event: Event[Message]) -> str:
        """Id of the reply to the decision's utterance."""
        return output(topics.REPLY, event.message).id

    async def handle(self, event: Event[Message]) -> Sequence[Output]:
        """Give what ends the utterance: its reply, and the last piece of it; nothing when it has one already."""
        decision, clock = event.message, HopClock.of(SERVICE, event)
        assert isinstance(decision, pb.Decision)
        match plan_of(decision):
            case Silence():
                return ()
            case SayVetted(kind=kind, reason=reason):
                return self._say(decision, kind, reason, clock, pb.Reply())
            case Generate(verdict=verdict):
                try:
                    return await self._generate(event, decision, verdict, clock)
                except AnsweredElsewhere:
                    logger.info("answered by another", extra={"utterance_id": decision.context.utterance_id})
                    return ()

    async def _generate(
        self, event: Event[Message], decision: pb.Decision, verdict: Verdict, clock: HopClock
    ) -> Sequence[Output]:
        ask, made, sent, reason = self._ask(decision), list[Attempt](), None, ""
        chosen = self._served.choose(decision.context)

        async def score(text: str) -> float | None:
            return await self._score(case_of(decision, text))

        try:
            async with self._turn(event, clock):
                chosen = self._served.choose(decision.context)  # a step may have been taken while it waited
                write = self._write(event, decision, verdict, clock, chosen)
                sent = await attempted(ask, write, score, self._settings, made)
        except NotWritten as why:
            reason = why.reason
        except MultimoodError as error:
            reason = "model_unavailable" if error.retryable else "model_refused"
            logger.warning(
                "no reply from the model",
                extra={"utterance_id": decision.context.utterance_id, "code": error.code, "cause": str(error)},
            )
        self._check_unanswered(event)
        logged = about(
            chosen, self._texts.prompt.version, ask, made, sent, received_at_us=event.received_at_us,
            texts=decision.context.privacy.learning_consent,
        )  # fmt: skip
        self._measure(logged, made)
        if sent is None or sent.written is None:
            return self._say(decision, without_model(verdict), reason, clock, logged)
        logged.hops.append(clock.hop())
        _replies.add(1, {"source": "generated", "reason": ""})
        rest, withdrawn = sent.written.rest, any(one.progress.pieces for one in made if one is not sent)
        last = [delta(decision.context, sent.name, sent.progress.pieces, rest)] if rest and not withdrawn else []
        return (*last, generated(decision, sent.written.text, logged))

    def _write(
        self, event: Event[Message], decision: pb.Decision, verdict: Verdict, clock: HopClock, chosen: Chosen
    ) -> Write:
        """How one attempt at the reply to this decision is made."""
        settings, traceparent = self._settings, current_traceparent() or event.traceparent

        async def write(attempt: Attempt, ask: Ask, streams: bool) -> Written:
            async def tell(index: int, text: str) -> None:
                self._check_unanswered(event)
                await self._bus.emit((delta(decision.context, attempt.name, index, text),), traceparent)

            self._check_unanswered(event)
            writing = Writing(
                Draft(most_sentences=settings.max_sentences, most_characters=MOST_CHARACTERS),
                attempt.progress,
                look=lambda text: attempt.look(text, verdict, self._texts.rules),
                tell=tell if streams else None,
                max_tokens=settings.max_tokens,
            )
            pieces = patiently(chosen.writer, ask, Patience(settings.first_token_s, ask.within_s))
            return await writing.write(pieces, clock)

        return write

    def _ask(self, decision: pb.Decision) -> Ask:
        settings = self._settings
        messages = self._texts.prompt.render(situation_of(decision), dialogue_of(decision), settings.dialogue_chars)
        return Ask(
            messages,
            settings.max_tokens,
            settings.temperature,
            seed_of(decision.context),
            settings.whole_s,
            log_probs=settings.log_probs,
        )

    @asynccontextmanager
    async def _turn(self, event: Event[Message], clock: HopClock) -> AsyncIterator[None]:
        """Hold one of the model's slots. A vetted reply soon is better than a generated one that nobody waits for."""
        waited_s = (now_us() - event.received_at_us) / 1e6
        try:
            with clock.model():
                async with asyncio.timeout(self._settings.queue_s - waited_s):
                    await self._slots.acquire()
        except TimeoutError:
            raise NotWritten("overloaded") from None
        try:
            yield
        finally:
            self._slots.release()

    def _check_unanswered(self, event: Event[Message]) -> None:
        if self.answers(event) in self._answered:
            raise AnsweredElsewhere

    def _say(self, decision: pb.Decision, kind: Kind, reason: str, clock: HopClock, made: pb.Reply) -> Sequence[Output]:
        _replies.add(1, {"source": "vetted", "reason": reason})
        made.hops.append(clock.hop())
        context = decision.context
        vetted = self._texts.replies.reply(kind, context.locale, self._told.before(context))
        return (fallback(decision, vetted, reason, made),)

    @staticmethod
    def _measure(logged: pb.Reply, made: Sequence[Attempt]) -> None:
        if logged.first_token_us:
            _first.record(logged.first_token_us / 1000)
        for kind, count in zip(("prompt", "completion"), tokens_of(made), strict=True):
            _tokens.add(count, {"kind": kind})
        for attempt in made:
            _attempts.add(1, {"outcome": attempt.faults[0] if attempt.faults else "written"})


def processor(bus: Bus, responder: Responder, settings: ResponderSettings) -> Processor:
    """The responder's processor."""
    handler = Handler(
        SERVICE,
        bus,
        responder.handle,
        owns=(topics.DECISION,),
        answers=responder.answers,
        recovers=RECOVERS,
        on_recovered=responder.learn,
        concurrency=settings.concurrency,
    )
    return Following(handler, topics.REPLY)
