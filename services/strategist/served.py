"""The policy model: which version a conversation belongs to, and what that version says, at once or not at all."""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import MultimoodError
from multimood.inference import InferenceClient
from multimood.perception.fusion import Taxonomy
from multimood.perception.state import State
from multimood.perception.strategy import policy_answer, policy_question
from multimood.rollout.followed import Followed
from multimood.rollout.standing import NONE, Standing, Version

logger = logging.getLogger(__name__)


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
        self._followed = Followed(model, champion, clock=clock)

    @property
    def standing(self) -> Standing:
        """What the last step of the rollout says."""
        return self._followed.standing

    def learn(self, record: pb.Rollout) -> None:
        """Take note of a step of a rollout."""
        self._followed.learn(record)

    async def draw_from(
        self, context: pb.Context, state: State, own: Mapping[str, float], eligible: Collection[str]
    ) -> Drawn:
        """Ask the version that the conversation belongs to, else the champion; else take `own`, the fusion model's."""
        if not self.model:
            return Drawn(own, NONE, NONE, self.standing.step)
        of = self._followed.belonging(context)
        for version in self._followed.to_ask(of):
            found = await self._ask(version, state, eligible)
            if found is not None:
                return Drawn(found, version, of.assigned, of.step)
        return Drawn(own, NONE, of.assigned, of.step)

    async def _ask(self, version: Version, state: State, eligible: Collection[str]) -> Mapping[str, float] | None:
        asked = policy_question(state.values, eligible, self._taxonomy)
        try:
            found = await self._client.infer(self.model, asked, self._deadline_s, version=version.version)
            answer = policy_answer(found.outputs, eligible, self._taxonomy)
        except MultimoodError as error:
            self._followed.missed(version, error.code)
            logger.warning(
                "the policy model gave no usable answer",
                extra={"model": self.model, "version": str(version), "code": error.code, "cause": str(error)},
            )
            return None
        self._followed.answered(version)
        return answer
