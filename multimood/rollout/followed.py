"""A model's rollout as a service follows it: which version a conversation belongs to, and which are not asked now."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.rollout.standing import NONE, Course, Standing, Version
from multimood.telemetry.measures import Level, Tally

logger = logging.getLogger(__name__)

MISSES: Final = 3
REST_S: Final = 2.0
"""A version that did not answer so many times in a row is not asked for so long: somebody waits for every attempt."""

_answers = Tally("multimood_rollout_answers", "Questions to a model's versions", ["model", "version", "outcome"])
_share = Level("multimood_rollout_share", "Share of the conversations that a challenger answers", ["model"])
_abandoned = Level(
    "multimood_rollout_abandoned", "1 when the last canary's lease ended without an end of the canary", ["model"]
)


@dataclass(frozen=True, slots=True)
class Belonging:
    """What a conversation belongs to at a moment."""

    assigned: Version
    """NONE: no version of the model."""
    champion: Version
    step: str
    """Of the rollout; empty: none was known."""


class Followed:
    """One model's rollout, learnt from the topic. `champion` is the version that answers while nothing was promoted."""

    def __init__(self, model: str, champion: Version, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.model: Final = model
        self._course = Course(champion)
        self._clock = clock
        self._misses: Counter[Version] = Counter()
        self._rests: dict[Version, float] = {}
        if model:
            _share.ask(self._share_now, model)
            _abandoned.ask(self._is_abandoned, model)

    @property
    def standing(self) -> Standing:
        """What the last step of the rollout says."""
        return self._course.standing

    def learn(self, record: pb.Rollout) -> None:
        """Take note of a step of a rollout. Of another model it is no affair of ours."""
        if record.model != self.model:
            return
        if not self._course.take(record):
            logger.warning("a step of a rollout does not count", extra={"step": record.context.utterance_id})
            return
        standing = self.standing
        self._misses.clear()
        self._rests.clear()
        logger.info(
            "a step of a rollout",
            extra={
                "step": standing.step,
                "champion": str(standing.champion),
                "challenger": str(standing.challenger or NONE),
                "share": standing.share,
            },
        )

    def belonging(self, context: pb.Context) -> Belonging:
        """What the utterance's conversation belongs to now."""
        standing = self.standing
        assigned = standing.of(context.tenant, context.conversation_id, now_us())
        return Belonging(assigned, standing.champion, standing.step)

    def to_ask(self, of: Belonging) -> Sequence[Version]:
        """The version that it belongs to, then the champion; without what rests or is none."""
        found = []
        for version in dict.fromkeys((of.assigned, of.champion)):
            if version.version and self._rests.get(version, 0.0) > self._clock():
                _answers.add(self.model, version.version, "resting")
            elif version.version:
                found.append(version)
        return found

    def answered(self, version: Version) -> None:
        """Take note that a version gave a usable answer."""
        self._misses.pop(version, None)
        _answers.add(self.model, version.version, "answered")

    def missed(self, version: Version, outcome: str) -> None:
        """Take note that it did not; `outcome` is a stable label."""
        self._misses[version] += 1
        if self._misses[version] >= MISSES:
            self._rests[version] = self._clock() + REST_S
        _answers.add(self.model, version.version, outcome)

    def _share_now(self) -> float:
        return self.standing.share if self.standing.is_canary(now_us()) else 0.0

    def _is_abandoned(self) -> float:
        return float(self.standing.challenger is not None and not self.standing.is_canary(now_us()))
