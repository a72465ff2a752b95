"""What a judge is given and what it must be."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from multimood.errors import ConfigurationError

LEAST: float = 1.0
MOST: float = 10.0

Role: TypeAlias = Literal["user", "system"]
Embed: TypeAlias = Callable[[Sequence[str]], Awaitable[NDArray[np.float32]]]
"""Sentence embeddings, float32 [n, 384], unit length (all-mpnet-base-v2, adapted: Triton model `text_encoder`)."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the dialogue."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class TrustCase:
    """A reply with everything needed to judge it. The dialogue ends with the person's turn that is answered."""

    dialogue: Sequence[Turn]
    reply: str
    user_emotion: str | None = None
    strategy: str | None = None
    locale: str = "en"

    @property
    def answered(self) -> str:
        """What the reply answers: the person's last turn, or nothing."""
        return next((turn.text for turn in reversed(self.dialogue) if turn.role == "user"), "")


class Judge(Protocol):
    """Scores some of the seven criteria (`multimood.taxonomy.CRITERIA`)."""

    @property
    def name(self) -> str:
        """Stable name for logs and the experience log."""

    @property
    def version(self) -> str:
        """Changes whenever the same reply could get another score."""

    @property
    def criteria(self) -> Sequence[str]:
        """The criteria this judge can score."""

    async def score(self, case: TrustCase) -> Mapping[str, float]:
        """Score a reply: criterion -> 1..10 (10 is best). A criterion that cannot be scored in this case is left out.

        Raises:
            UnavailableError: something the judge depends on did not answer.
        """


def scaled(goodness: float) -> float:
    """Turn 0..1 into a score of 1..10."""
    return LEAST + (MOST - LEAST) * min(1.0, max(0.0, goodness))


async def embedded(case: TrustCase, embed: Embed, width: int) -> NDArray[np.float32] | None:
    """Embed what is answered and the reply, float32 [2, width]; None when there is no turn to answer or no reply.

    Every learned judge asks for the same two texts, so that they are embedded once (`judges.remembering`).

    Raises:
        ConfigurationError: the embeddings have another length than the judge was trained on.
        UnavailableError: from `embed`.
    """
    if not case.answered.strip() or not case.reply.strip():
        return None
    vectors = await embed([case.answered, case.reply])
    if vectors.shape != (2, width):
        raise ConfigurationError(f"embeddings of shape {vectors.shape}, wanted (2, {width}): another encoder?")
    return vectors
