"""Simulated seekers as a platform: they talk through the gateway, take what comes back, and say how it was for them.

So the log they leave is made by the whole pipeline, with the propensities of the policy that serves. A seeker responds
to the strategy of the decision that the gateway tells; a vetted reply has the effect of one. What the words of the
reply were makes no difference to them. Rating and intensity of their feedback are the truth.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from multimood.client import TurnInput
from multimood.contracts.v1 import events_pb2 as pb
from multimood.contracts.v1 import gateway_pb2 as gw
from multimood.errors import MultimoodError
from multimood.ope.log import FORCED
from multimood.simulator.effects import EFFECTS, table
from multimood.simulator.profiles import PROFILES
from multimood.simulator.seekers import Seekers
from multimood.simulator.words import utterance

SOURCE: Final = "simulator"
"""Of the feedback."""


class Gateway(Protocol):
    """What is used of `multimood.client.Client`."""

    def converse(
        self, turn: TurnInput, *, wait_for_trust: bool = False, timeout_s: float = 120.0
    ) -> AsyncIterator[gw.ConverseResponse]:
        """Send a turn and yield what becomes of it."""

    async def send_feedback(
        self, conversation_id: str, utterance_id: str, *, rating: float, intensity: float, source: str
    ) -> None:
        """Say how a reply was received."""


@dataclass(frozen=True, slots=True)
class Told:
    """One turn as the simulator knows it."""

    conversation_id: str
    utterance_id: str
    step: int
    profile: str
    distress: float
    alliance: float
    readiness: float
    strategy: str
    """What the seeker took the reply for; `FORCED` for a vetted one."""
    reward: float
    expected: dict[str, float]
    """The expected reward of every strategy: the truth for any policy in this very situation."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A conversation that the system did not carry to its end."""

    conversation_id: str
    step: int
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is said."""

    name: str
    """Begins the conversations' ids."""
    conversations: int
    turns: int
    at_once: int
    seed: int
    timeout_s: float = 120.0


async def talk(gateway: Gateway, plan: Plan) -> AsyncIterator[Told | Failed]:
    """Hold the conversations, some at once; a turn is given as soon as its feedback is accepted."""
    arrived = Seekers.arrive(plan.conversations, np.random.default_rng(plan.seed))
    told: asyncio.Queue[Told | Failed | None] = asyncio.Queue()
    slots = asyncio.Semaphore(plan.at_once)

    async def one(number: int) -> None:
        async with slots:
            await _hold(gateway, plan, number, arrived.take(np.array([number])), told)

    async def everyone() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(plan.conversations):
                    group.create_task(one(number))
        finally:
            told.put_nowait(None)

    work = asyncio.create_task(everyone())
    try:
        while (found := await told.get()) is not None:
            yield found
        await work
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def _hold(
    gateway: Gateway, plan: Plan, number: int, seeker: Seekers, told: "asyncio.Queue[Told | Failed | None]"
) -> None:
    """One conversation, until the seeker leaves, the plan ends, or the system fails."""
    conversation, rng = f"{plan.name}-{number}", np.random.default_rng((plan.seed, number))
    for step in range(plan.turns):
        text = utterance(seeker, 0, step, rng)
        turn = TurnInput(
            conversation, text=text, utterance_id=f"{conversation}-{step}", locale="en", learning_consent=True
        )
        try:
            strategy = await _answered(gateway, turn, plan.timeout_s)
            after, reward = seeker.respond(table([strategy]), rng)
            await gateway.send_feedback(
                conversation, turn.utterance_id, rating=float(reward[0]), intensity=float(after.distress[0]),
                source=SOURCE,
            )  # fmt: skip
        except MultimoodError as error:
            told.put_nowait(Failed(conversation, step, error.code))
            return
        told.put_nowait(_told(turn, step, seeker, strategy, float(reward[0])))
        seeker = after
        if rng.random() < seeker.leaving()[0]:
            return


class UnansweredError(MultimoodError):
    """A turn ended without a reply."""

    code = "unanswered"


async def _answered(gateway: Gateway, turn: TurnInput, timeout_s: float) -> str:
    """Send a turn; gives the strategy of its reply. Raises UnansweredError, and what the client raises."""
    chosen, reply = "", None
    # Whoever reads the log when the last conversation has ended finds all of it: its rows follow the trust scores.
    async for response in gateway.converse(turn, wait_for_trust=True, timeout_s=timeout_s):
        part = response.WhichOneof("part")
        if part == "decision":
            chosen = response.decision.chosen
        elif part == "reply":
            reply = response.reply
        elif part == "rejected":
            raise UnansweredError(f"turn {turn.utterance_id} was rejected: {response.rejected.reason}")
    if reply is None:
        raise UnansweredError(f"turn {turn.utterance_id} ended without a reply")
    generated = reply.source == pb.REPLY_SOURCE_GENERATED and chosen in EFFECTS
    return chosen if generated else FORCED


def _told(turn: TurnInput, step: int, seeker: Seekers, strategy: str, reward: float) -> Told:
    expected = seeker.expected_rewards(table(list(EFFECTS)))[0]
    return Told(
        turn.conversation_id, turn.utterance_id, step, PROFILES[seeker.profile[0]].name, float(seeker.distress[0]),
        float(seeker.alliance[0]), float(seeker.readiness[0]), strategy, reward,
        dict(zip(EFFECTS, expected.tolist(), strict=True)),
    )  # fmt: skip
