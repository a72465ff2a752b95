"""How a voice and a face that are there together count: a log-linear opinion pool (Genest and Zidek 1986)."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-not-found,import-untyped,unused-ignore]

from multimood.training.heads import Floats, softmax

LEAST: Final = 1e-4
"""Added to every probability before its logarithm: nobody is ever quite sure."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Weights of log-probabilities: `voice` and `face` in company, `voice_alone` and `face_alone`."""

    voice: float
    face: float
    voice_alone: float
    face_alone: float

    @property
    def array(self) -> Floats:
        """As it is kept, float32 [4]."""
        return np.array(astuple(self), np.float32)

    def both(self, voice: Floats, face: Floats) -> Floats:
        """Probabilities [n, k] from those of a voice and of a face over the same labels."""
        return softmax(self.voice * np.log(voice + LEAST) + self.face * np.log(face + LEAST))


def fit_rule(voice: Floats, face: Floats, labels: NDArray[np.int64]) -> Rule:
    """The weights with the least cross-entropy: probabilities [n, k] by heads that did not see the row's person."""
    logs = np.log(voice + LEAST), np.log(face + LEAST)
    together = _least(logs, labels)
    return Rule(together[0], together[1], _least(logs[:1], labels)[0], _least(logs[1:], labels)[0])


def _least(experts: Sequence[Floats], labels: NDArray[np.int64]) -> list[float]:
    rows = np.arange(len(labels))

    def entropy(weights: NDArray[np.float64]) -> float:
        logits = sum(float(weight) * expert for weight, expert in zip(weights, experts, strict=True))
        return float(-np.log(softmax(np.asarray(logits))[rows, labels] + 1e-9).mean())

    return [float(weight) for weight in minimize(entropy, np.full(len(experts), 0.5), method="Nelder-Mead").x]
