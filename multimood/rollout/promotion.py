"""A promotion from the first canary to its end: stages, lease, guard, and who else has a say.

Nothing here has to be alive for the champion to be served: the challenger's lease is renewed by this process, and ends
with it. A step is recorded, then published; of a rollback it is the other way round, since it must not wait.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from multimood import topics
from multimood.bus.publisher import Publisher
from multimood.bus.tail import Follower
from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnavailableError
from multimood.rollout.audit import Audit
from multimood.rollout.guard import Figure, told
from multimood.rollout.observed import Observed, Reads, of_policy
from multimood.rollout.standing import ENDS
from multimood.rollout.steps import Rollout, publish
from multimood.settings import KafkaSettings

logger = logging.getLogger(__name__)

SERVICE: Final = "rollout"
WATCHED: Final = (topics.DECISION, topics.REPLY, topics.TRUST, topics.ESCALATION, topics.ROLLOUT)
LOOK_S: Final = 1.0
SETTLE_S: Final = 5.0
"""Scores come after their decisions: a stage is not judged before it is so old."""
AGAIN_S: Final = 1.0
READ_BACK_S: Final = 15.0
RENEWED: Final = "the lease is renewed"
_SECOND_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How carefully a challenger comes in."""

    stages: Sequence[float] = (0.1, 0.5)
    """Shares of the conversations, upwards; after the last of them it gets all."""
    least: int = 50
    """Conversations that each of the two must have had in every stage."""
    lease_s: float = 120.0
    timeout_s: float = 86_400.0
    """For all stages together; a challenger that was not shown harmless by then is rolled back."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How a canary is getting on."""

    rollout: Rollout
    share: float
    until_us: int
    conversations: tuple[int, int]
    """Of champion and challenger, in this stage."""
    utterances: tuple[int, int]
    figures: Sequence[Figure]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: `taken_over` when somebody else took a step, by hand or with another promotion."""

    kind: Literal["completed", "rolled_back", "taken_over"]
    reason: str
    figures: Sequence[Figure] = ()
    unrecorded: str = ""
    """Why the audit lacks a step; empty: it has all."""


@dataclass(slots=True)
class Promotion:
    """One rollout. `tell` is called after every look."""

    rollout: Rollout
    plan: Plan
    kafka: KafkaSettings
    audit: Audit
    tell: Callable[[Progress], None] = lambda _progress: None
    reads: Reads = of_policy
    """Which record says to which version an utterance was given: of a policy another than of a reply model."""
    began: float = field(default_factory=time.monotonic, init=False)
    _observed: Observed = field(init=False)
    _own: set[str] = field(default_factory=set, init=False)
    _last_seen: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    """The topic has our last step, or another's before it."""
    _is_ours: bool = field(default=False, init=False)
    """The topic has our first step: from then on any other's counts more than ours."""
    _other: pb.Rollout | None = field(default=None, init=False)
    _unrecorded: str = field(default="", init=False)
    _until_us: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._observed = Observed(self.rollout.champion.version, self.rollout.challenger.version, self.reads)

    async def run(self) -> Outcome:
        """Take all steps to an end. Broken off, the challenger's lease ends.

        Raises:
            MultimoodError: the first step could not be recorded or published; the challenger was not served.
        """
        follower = Follower(self.kafka, WATCHED, since_s=0)
        publisher = Publisher(self.kafka, SERVICE)
        await follower.start()
        try:
            await publisher.start()
            reading = asyncio.create_task(self._read(follower))
            stages = asyncio.create_task(self._stages(publisher))
            try:
                done, _ = await asyncio.wait((reading, stages), return_when=asyncio.FIRST_COMPLETED)
                if stages not in done:  # who cannot watch must not renew, either
                    reading.result()
                return await stages
            finally:
                for task in (reading, stages):
                    task.cancel()
                await asyncio.gather(reading, stages, return_exceptions=True)
        finally:
            await publisher.stop()
            await follower.stop()

    async def _stages(self, publisher: Publisher) -> Outcome:
        for number, share in enumerate(self.plan.stages):
            first = self._canary(share, f"stage {number + 1} of {len(self.plan.stages)}")
            if number == 0:
                self._own.add(first.context.utterance_id)
                await self.audit.record(first)
                await publish(publisher, first)
            else:
                await self._take(publisher, first)
            outcome = await self._watch(publisher, share)
            if outcome is not None:
                return outcome
        figures = self._observed.figures(self.plan.least)
        reason = f"harmless in {self._observed.conversations(self.rollout.challenger.version)} conversations"
        step = self.rollout.completed(reason, figures)
        await self._take(publisher, step)
        return await self._read_back(step, Outcome("completed", reason, figures, self._unrecorded))

    async def _watch(self, publisher: Publisher, share: float) -> Outcome | None:
        """One stage; None when the next may come."""
        versions = self.rollout.champion.version, self.rollout.challenger.version
        before = [self._observed.conversations(version) for version in versions]
        began = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_S)
            if self._other is not None:
                return Outcome(
                    "taken_over", _by(self._other), self._observed.figures(self.plan.least), self._unrecorded
                )
            figures = self._observed.figures(self.plan.least)
            here = [self._observed.conversations(v) - b for v, b in zip(versions, before, strict=True)]
            utterances = [self._observed.utterances[version] for version in versions]
            self.tell(
                Progress(
                    self.rollout, share, self._until_us, (here[0], here[1]), (utterances[0], utterances[1]), figures
                )
            )
            worse = [told(figure) for figure in figures if figure.verdict == "worse"]
            if worse:
                return await self._roll_back(publisher, f"worse: {'; '.join(worse)}", figures)
            is_seen = min(here) >= self.plan.least and time.monotonic() - began >= SETTLE_S
            if is_seen and all(figure.verdict == "harmless" for figure in figures):
                return None
            if time.monotonic() - self.began > self.plan.timeout_s:
                still = (
                    "; ".join(told(figure) for figure in figures if figure.verdict == "open") or "too few conversations"
                )
                reason = f"not shown harmless within {self.plan.timeout_s:g} s, with {min(here)} of {self.plan.least} "
                return await self._roll_back(publisher, f"{reason}conversations in this stage: {still}", figures)
            if self._until_us - now_us() < 2 * self.plan.lease_s / 3 * _SECOND_US:
                await self._publish(publisher, self._canary(share, RENEWED, figures))

    async def _roll_back(self, publisher: Publisher, reason: str, figures: Sequence[Figure]) -> Outcome:
        step = self.rollout.rolled_back(reason, figures)
        await self._take(publisher, step, urgent=True)
        return await self._read_back(step, Outcome("rolled_back", reason, figures, self._unrecorded))

    async def _read_back(self, step: pb.Rollout, outcome: Outcome) -> Outcome:
        """Read our last step back: one that somebody took just before it counts, and ours does not."""
        try:
            async with asyncio.timeout(READ_BACK_S):
                await self._last_seen.wait()
        except TimeoutError:
            logger.warning("the last step was not read back", extra={"step": step.context.utterance_id})
        if self._other is None:
            return outcome
        return Outcome("taken_over", _by(self._other), outcome.figures, self._unrecorded)

    def _canary(self, share: float, reason: str, figures: Sequence[Figure] = ()) -> pb.Rollout:
        self._until_us = now_us() + int(self.plan.lease_s * _SECOND_US)
        step = self.rollout.canary(share, self._until_us, reason, figures)
        self._observed.step(step.context.utterance_id)
        return step

    async def _take(self, publisher: Publisher, step: pb.Rollout, *, urgent: bool = False) -> None:
        """Record and publish a step; an urgent one the other way round."""
        if urgent:
            await self._publish(publisher, step)
        self._unrecorded = await self.audit.record_if_possible(step) or self._unrecorded
        if not urgent:
            await self._publish(publisher, step)

    async def _publish(self, publisher: Publisher, step: pb.Rollout) -> None:
        """Publish a step, for as long as it takes; meanwhile the lease goes on to its end."""
        self._own.add(step.context.utterance_id)
        while True:
            try:
                await publish(publisher, step)
            except UnavailableError as error:
                logger.warning("a step waits for the broker", extra={"code": error.code, "reason": str(error)})
                await asyncio.sleep(AGAIN_S)
            else:
                return

    async def _read(self, follower: Follower) -> None:
        async for received in follower:
            message = received.message
            if isinstance(message, pb.Rollout):
                self._note(message)
            elif message is not None:
                self._observed.see(message)

    def _note(self, step: pb.Rollout) -> None:
        if step.model != self.rollout.model:
            return
        if step.context.utterance_id in self._own:
            self._is_ours = True
            if step.stage in ENDS:
                self._last_seen.set()
        elif self._is_ours and not self._last_seen.is_set():  # what came before ours, ours has replaced
            self._other = step
            self._last_seen.set()


def _by(step: pb.Rollout) -> str:
    stage = pb.RolloutStage.Name(step.stage).removeprefix("ROLLOUT_STAGE_").lower().replace("_", " ")
    return f"{step.operator or 'somebody else'} took another step ({stage}): {step.reason}"
