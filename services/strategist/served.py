"""The policy model: which version a conversation belongs to, and what that version says, at once or not at all."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import MultimoodError
from multimood.inference import InferenceClient
from multimood.perception.fusion import Taxonomy
from multimood.perception.state import State
from multimood.perception.strategy import policy_answer, policy_question
from multimood.rollout.standing import NONE, Course, Standing, Version
from multimood.telemetry.measures import Level, Tally

logger = logging.getLogger(__name__)

MISSES: Final = 3
REST_S: Final = 2.0
"""A version that did not answer so many times in a row is not asked for so long: somebody waits for every attempt."""

_answers = Tally("multimood_policy_answers", "Questions to the policy model", ["version", "outcome"])
_share = Level("multimood_rollout_share", "Share of the conversations that a challenger answers")
_abandoned = Level("multimood_rollout_abandoned", "1 when the last canary's lease ended without an end of the canary")


@dataclass(frozen=True, slots=True)
class Drawn:
    """The distribution to draw from, and whose it is."""

    strategy: Mapping[str, float]
    """Over all strategies of the taxonomy; sums to 1."""
    served: Version
    """NONE: the fusion model's own."""
    assigned: Version
    """What the conversation belonged to."""
    step: str
    """Of the rollout; empty: none was known."""


class ServedPolicy:
    """The policy model on Triton, by version. Without a `model` the fusion model's own distribution is drawn from."""

    def __init__(
        self,
        client: InferenceClient,
        model: str,
        taxonomy: Taxonomy,
        champion: Version,
        *,
        deadline_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self.model = model
        self._taxonomy = taxonomy
        self._deadline_s = deadline_s
        self._clock = clock
        self._course = Course(champion)
        self._misses: Counter[Version] = Counter()
        self._rests: dict[Version, float] = {}
        _share.ask(lambda: self.standing.share if self.standing.is_canary(now_us()) else 0.0)
        _abandoned.ask(lambda: float(self.standing.challenger is not None and not self.standing.is_canary(now_us())))

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

    async def draw_from(
        self, context: pb.Context, state: State, own: Mapping[str, float], eligible: Collection[str]
    ) -> Drawn:
        """Ask the version that the conversation belongs to, else the champion; else take `own`, the fusion model's."""
        standing = self.standing
        assigned = standing.of(context.tenant, context.conversation_id, now_us()) if self.model else NONE
        for version in dict.fromkeys((assigned, standing.champion)):
            if self.model and version.version:
                found = await self._ask(version, state, eligible)
                if found is not None:
                    return Drawn(found, version, assigned, standing.step)
        return Drawn(own, NONE, assigned, standing.step)

    async def _ask(self, version: Version, state: State, eligible: Collection[str]) -> Mapping[str, float] | None:
        if self._rests.get(version, 0.0) > self._clock():
            _answers.add(version.version, "resting")
            return None
        asked = policy_question(state.values, eligible, self._taxonomy)
        try:
            found = await self._client.infer(self.model, asked, self._deadline_s, version=version.version)
            answer = policy_answer(found.outputs, eligible, self._taxonomy)
        except MultimoodError as error:
            self._misses[version] += 1
            if self._misses[version] >= MISSES:
                self._rests[version] = self._clock() + REST_S
            _answers.add(version.version, error.code)
            logger.warning(
                "the policy model gave no usable answer",
                extra={"model": self.model, "version": str(version), "code": error.code, "cause": str(error)},
            )
            return None
        self._misses.pop(version, None)
        _answers.add(version.version, "answered")
        return answer
