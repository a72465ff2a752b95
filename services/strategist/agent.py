"""The strategist on the bus: features in; decision, then the state out. Replies and erasures in; the state out.

Where voice or face make a crisis of words of low risk, the escalation comes before the decision: a human who has to act
is told first. A crash between the two: the escalation is recovered, and whatever the model says the second time, the
decision follows it.

Why in this order, and what a crash leaves behind:

- The decision is the commit point. A state that knows a turn is published after the turn's decision, so a turn that is
  in the state was decided, and its features, met again, change nothing.
- A crash between the two: the decision is recovered, the turn is put into the state from it, and when the features come
  again only the state is published.
- A crash before the decision: nothing is known of the turn, and it is decided from the same state as the first time.
- Memory takes a state only when it is durable. So an attempt that failed half-way is repeated from the state it began
  with, and gives the same step, dialogue and history; the draw is seeded by policy and utterance.
- A reply is put beside the turn it answers, by utterance, whether it comes before or after the decision, once.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from google.protobuf.message import Message

from multimood import topics
from multimood.bus import Bus, Event, Handler, HopClock, Output, Processor, RetryPolicy, output
from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import MultimoodError, UnavailableError
from multimood.inference import InferenceClient
from multimood.perception.conversation import (
    after_decision,
    after_erasure,
    after_reply,
    continues,
    has_turn,
    history_of,
)
from multimood.perception.fusion import WIDTHS, Perception, Sight, perceive, question, see
from multimood.safety import CrisisPolicy
from multimood.safety.evidence import is_evidence
from multimood.seen import SeenIds
from multimood.telemetry import meter
from services.strategist.decision import Kept, Policy, decide, escalation_of, override_of, situation_of
from services.strategist.memory import Memory
from services.strategist.policy import eligible
from services.strategist.served import Drawn, ServedPolicy
from services.strategist.settings import StrategistSettings
from services.strategist.words import Words

logger = logging.getLogger(__name__)

SERVICE = "strategist"
INPUTS = (topics.FEATURES, topics.REPLY, topics.ERASURE)
RECOVERS = ((topics.CONVERSATION, None), (topics.DECISION, 4_000), (topics.ESCALATION, 2_000))
"""States first: the decisions then add what a crash kept out of them."""
REMEMBERED = 50_000

_decisions = meter().create_counter("multimood.decisions", description="Decisions by override and strategy")
_unusable = meter().create_counter("multimood.unusable_vectors", description="Embeddings that do not fit, by model")


class Strategist:
    """Decides on utterances and keeps the conversations."""

    def __init__(
        self,
        client: InferenceClient,
        words: Words,
        policy: Policy,
        settings: StrategistSettings,
        widths: Mapping[pb.Modality, int] = WIDTHS,
        *,
        crisis: CrisisPolicy,
        served: ServedPolicy | None = None,
    ) -> None:
        self._crisis = crisis
        self._served = served
        self._widths = widths
        self._client = client
        self._words = words
        self._policy = policy
        self._settings = settings
        self._kept = Kept(settings.turns, settings.turn_chars)
        self._memory = Memory(settings.memory_mib << 20)
        self._decided = SeenIds(REMEMBERED)
        self._escalated = SeenIds(REMEMBERED)
        self._owed: set[bytes] = set()

    # --- what is durable -------------------------------------------------------------------------------------------

    def learn(self, event: Event[Message]) -> None:
        """Take note of a record that was on the bus before: a state, or a decision whose state may not be."""
        self._take(event.key, event.id, event.message)

    def published(self, out: Output) -> None:
        """Take note of an output of ours that has become durable."""
        self._take(out.key, out.id, out.message)

    def _take(self, key: bytes, identity: str, message: Message) -> None:
        if isinstance(message, pb.Conversation):
            if self._memory.put(key, message):
                self._owed.discard(key)
        elif isinstance(message, pb.Decision):
            self._decided.add(identity)
            state = self._memory.get(key)
            changed = after_decision(state, message, self._kept.turns)
            if changed is not None and continues(state, message):
                self._memory.put(key, changed)
                self._owed.add(key)
        elif isinstance(message, pb.Escalation) and is_evidence(message.rules):  # else the sentinel's
            self._escalated.add(identity)

    # --- events ----------------------------------------------------------------------------------------------------

    def answers(self, event: Event[Message]) -> str | None:
        """Id of the decision on an utterance, unless its state has still to be published."""
        if not isinstance(event.message, pb.Features) or event.key in self._owed:
            return None
        return output(topics.DECISION, event.message).id

    async def handle(self, event: Event[Message]) -> Sequence[Output]:
        """Decide on an utterance, put a reply into its conversation, or forget what was said in it."""
        if isinstance(event.message, pb.Reply):
            return await self._note(event.message, event)
        state = self._memory.get(event.key)
        if isinstance(event.message, pb.Erasure):
            forgotten = after_erasure(state, event.message)
            return () if forgotten is None else (_state(forgotten),)
        assert isinstance(event.message, pb.Features)
        if self._is_decided(event.message.context, state):
            return self._settle(event, state)
        return await self._decide(event.message, state, HopClock.of(SERVICE, event))

    async def _decide(self, features: pb.Features, state: pb.Conversation | None, clock: HopClock) -> Sequence[Output]:
        sight = self._see(features)
        override = self._override(features, sight)
        perception = None
        if override == pb.OVERRIDE_NONE:
            try:
                perception = await self._ask(sight, state, self._settings.inference_s, clock)
            except UnavailableError:
                raise
            except MultimoodError as error:
                logger.error("the fusion model gave no usable answer", extra={"code": error.code, "cause": str(error)})  # noqa: TRY400
                override = pb.OVERRIDE_MODEL_UNAVAILABLE
        elif override != pb.OVERRIDE_NO_INPUT:
            perception = await self._glance(sight, state, clock)
        if override != pb.OVERRIDE_NONE or perception is None:
            return self._conclude(features, sight, perception, state, override=override, clock=clock)
        escalation = escalation_of(features, perception, self._crisis, now_us())
        if escalation is not None:
            override = pb.OVERRIDE_EVIDENCE
            concluded = self._conclude(features, sight, perception, state, override=override, clock=clock)
            return (output(topics.ESCALATION, escalation), *concluded)
        drawn = await self._draw(features, sight, perception, state, clock=clock)
        return self._conclude(features, sight, perception, state, override=override, clock=clock, drawn=drawn)

    async def give_up(self, event: Event[Message]) -> Sequence[Output]:
        """The model did not answer in time: the person is answered all the same."""
        features, clock = event.message, HopClock.of(SERVICE, event)
        assert isinstance(features, pb.Features)
        state = self._memory.get(event.key)
        sight = see(features, self._widths)
        override = self._override(features, sight) or pb.OVERRIDE_MODEL_UNAVAILABLE
        return self._conclude(features, sight, None, state, override=override, clock=clock)

    def _override(self, features: pb.Features, sight: Sight) -> pb.Override:
        override = override_of(features, sight)
        is_ours = override == pb.OVERRIDE_NONE and output(topics.ESCALATION, features).id in self._escalated
        return pb.OVERRIDE_EVIDENCE if is_ours else override

    # --- steps -----------------------------------------------------------------------------------------------------

    def _see(self, features: pb.Features) -> Sight:
        sight = see(features, self._widths)
        for embedding in features.embeddings:
            if embedding.modality in sight.unusable:
                _unusable.add(1, {"model": embedding.model_name})
                logger.warning(
                    "a vector does not fit the fusion model",
                    extra={
                        "model": embedding.model_name,
                        "version": embedding.model_version,
                        "bytes": len(embedding.vector),
                    },
                )
        return sight

    async def _ask(self, sight: Sight, state: pb.Conversation | None, deadline_s: float, clock: HopClock) -> Perception:
        with clock.model():
            found = await self._client.infer(
                self._policy.model,
                question(sight, history_of(state, self._widths[pb.MODALITY_TEXT]), self._widths),
                deadline_s=deadline_s,
            )
        return perceive(found.outputs, found.model_version, sight, self._policy.taxonomy)

    async def _draw(
        self,
        features: pb.Features,
        sight: Sight,
        perception: Perception,
        state: pb.Conversation | None,
        *,
        clock: HopClock,
    ) -> Drawn | None:
        """Ask the policy model. A vetted reply is no action of a policy: where there is an override it is not asked."""
        if self._served is None:
            return None
        situation = situation_of(features, sight, perception, state, policy=self._policy, kept=self._kept)
        names = eligible(self._policy.taxonomy, 0 if state is None else state.steps)
        with clock.model():
            return await self._served.draw_from(features.context, situation, perception.strategy, names)

    async def _glance(self, sight: Sight, state: pb.Conversation | None, clock: HopClock) -> Perception | None:
        """What the model says if it says it at once: the reply does not depend on it."""
        limit_s = self._settings.vetted_inference_s
        try:
            async with asyncio.timeout(limit_s):
                return await self._ask(sight, state, limit_s, clock)
        except (MultimoodError, TimeoutError):
            return None

    def _conclude(
        self,
        features: pb.Features,
        sight: Sight,
        perception: Perception | None,
        state: pb.Conversation | None,
        *,
        override: pb.Override,
        clock: HopClock,
        drawn: Drawn | None = None,
    ) -> Sequence[Output]:
        decision = decide(
            features, sight, perception, state,
            override=override, policy=self._policy, kept=self._kept, drawn=drawn,
        )  # fmt: skip
        decision.hops.append(clock.hop())
        counted = {"strategy": decision.chosen, "policy": decision.policy_served}
        _decisions.add(1, {"override": pb.Override.Name(override), **counted})
        changed = after_decision(state, decision, self._kept.turns)
        assert changed is not None
        return (output(topics.DECISION, decision), _state(changed))

    def _is_decided(self, context: pb.Context, state: pb.Conversation | None) -> bool:
        identity = output(topics.DECISION, pb.Decision(context=context)).id
        return identity in self._decided or has_turn(state, context.utterance_id, pb.ROLE_USER)

    def _settle(self, event: Event[Message], state: pb.Conversation | None) -> Sequence[Output]:
        """The utterance was decided; its state is published if a crash came between."""
        return (_state(state),) if state is not None and event.key in self._owed else ()

    async def _note(self, reply: pb.Reply, event: Event[Message]) -> Sequence[Output]:
        state = self._memory.get(event.key)
        is_near = has_turn(state, reply.context.utterance_id, pb.ROLE_USER)
        if not is_near and self._is_decided(reply.context, state):
            return ()  # its turn has left the remembered ones
        if has_turn(state, reply.context.utterance_id, pb.ROLE_SYSTEM):
            return ()
        vector = await self._words.vector(reply.text)
        changed = after_reply(state, reply, self._kept.turns, self._kept.chars, vector)
        return () if changed is None else (_state(changed),)


def _state(state: pb.Conversation) -> Output:
    return output(topics.CONVERSATION, state, str(state.revision))


def processor(bus: Bus, strategist: Strategist, settings: StrategistSettings) -> Processor:
    """The strategist's processor."""

    async def emit(outputs: Sequence[Output], traceparent: str) -> None:
        for out in outputs:
            await bus.emit((out,), traceparent)
            strategist.published(out)

    return Handler(
        SERVICE,
        replace(bus, emit=emit),
        strategist.handle,
        owns=(topics.FEATURES, topics.ERASURE),
        answers=strategist.answers,
        recovers=RECOVERS,
        on_recovered=strategist.learn,
        on_exhausted=strategist.give_up,
        concurrency=settings.concurrency,
        retry=RetryPolicy(budget_s=settings.retry_budget_s, longest_s=1.0),
    )
