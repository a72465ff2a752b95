"""The steps of a rollout as records on the topic: how they are made, published, and read back."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from multimood import topics
from multimood.bus.publisher import Publisher
from multimood.bus.tail import Follower
from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import DeadlineExceededError
from multimood.rollout.guard import Figure
from multimood.rollout.standing import NONE, Course, Version, version_of
from multimood.settings import KafkaSettings

TENANT: Final = "multimood"
"""Of the steps, which are of no platform."""
READ_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Rollout:
    """One promotion or rollback: what all of its steps have in common."""

    model: str
    champion: Version
    challenger: Version
    operator: str
    id: str = field(default_factory=lambda: f"{now_us()}-{secrets.token_hex(4)}")

    def canary(self, share: float, until_us: int, reason: str, figures: Sequence[Figure] = ()) -> pb.Rollout:
        """The challenger answers a share of the conversations until its lease ends."""
        record = self._record(pb.ROLLOUT_STAGE_CANARY, self.champion, self.challenger, reason, figures)
        record.share, record.until_us = share, until_us
        return record

    def completed(self, reason: str, figures: Sequence[Figure] = ()) -> pb.Rollout:
        """The challenger has become the champion."""
        record = self._record(pb.ROLLOUT_STAGE_COMPLETED, self.challenger, None, reason, figures)
        record.share = 1.0
        record.former.CopyFrom(_message(self.champion))
        return record

    def rolled_back(self, reason: str, figures: Sequence[Figure] = ()) -> pb.Rollout:
        """The champion answers all conversations (again)."""
        return self._record(pb.ROLLOUT_STAGE_ROLLED_BACK, self.champion, self.challenger, reason, figures)

    def _record(
        self,
        stage: pb.RolloutStage,
        champion: Version,
        challenger: Version | None,
        reason: str,
        figures: Sequence[Figure],
    ) -> pb.Rollout:
        context = pb.Context(tenant=TENANT, conversation_id=self.model, utterance_id=f"step-{secrets.token_hex(8)}")
        record = pb.Rollout(
            context=context, model=self.model, champion=_message(champion), stage=stage, reason=reason,
            operator=self.operator, at_us=now_us(), rollout_id=self.id, figures=map(figure_of, figures),
        )  # fmt: skip
        if challenger is not None:
            record.challenger.CopyFrom(_message(challenger))
        return record


async def publish(publisher: Publisher, record: pb.Rollout) -> None:
    """Publish a step. Raises UnavailableError when it is not known to be durable: publish the same one again."""
    await publisher.publish(topics.ROLLOUT, record)


async def steps_of(settings: KafkaSettings, model: str) -> list[pb.Rollout]:
    """All steps of a model's rollouts, oldest first. Raises UnavailableError."""
    follower = Follower(settings, (topics.ROLLOUT,), since_s=None)
    await follower.start()
    found: list[pb.Rollout] = []

    async def read() -> None:
        async for received in follower:
            if isinstance(received.message, pb.Rollout) and received.message.model == model:
                found.append(received.message)  # noqa: PERF401 - it has no end, it is broken off

    reading = asyncio.create_task(read())
    try:
        async with asyncio.timeout(READ_S):
            await follower.caught_up.wait()
    except TimeoutError:
        raise DeadlineExceededError(f"{topics.ROLLOUT.name} could not be read within {READ_S:g} s") from None
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await follower.stop()
    return found


def course_of(steps: Sequence[pb.Rollout], shipped: Version) -> Course:
    """What the steps come to."""
    course = Course(shipped)
    for step in steps:
        course.take(step)
    return course


def used_in(steps: Sequence[pb.Rollout]) -> set[int]:
    """The numbers of all versions that a step has named."""
    named = [version_of(one) for step in steps for one in (step.champion, step.challenger)]
    return {int(one.version) for one in named if one is not None and one.version}


def former_of(record: pb.Rollout) -> Version | None:
    """The champion before the one that a completed rollout made, None of any other step."""
    if record.stage != pb.ROLLOUT_STAGE_COMPLETED:
        return None
    return version_of(record.former) if record.HasField("former") else NONE


def needed_by(steps: Sequence[pb.Rollout], shipped: Version) -> tuple[Version, ...]:
    """The versions that must stay: those that are served now, and the one that a rollback would go to."""
    course = course_of(steps, shipped)
    last, standing = course.last, course.standing
    former = next((former_of(step) for step in reversed(steps) if former_of(step) is not None), None)
    found = (standing.champion, standing.challenger, former, None if last is None else version_of(last.challenger))
    return tuple(one for one in found if one is not None)


def _message(version: Version) -> pb.PolicyVersion:
    return pb.PolicyVersion(version=version.version, sha256=version.sha256)


def figure_of(figure: Figure) -> pb.GuardFigure:
    """A guard's figure as a step keeps it."""
    champion, challenger = figure.champion, figure.challenger
    return pb.GuardFigure(
        name=figure.guard.name, champion=champion.mean, challenger=challenger.mean, low=figure.low, high=figure.high,
        champion_conversations=champion.count, challenger_conversations=challenger.count, verdict=figure.verdict,
    )  # fmt: skip
