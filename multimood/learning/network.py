"""A strategy policy as numbers: a small network over the state, masked, mixed with the fusion model's own. Pure."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from multimood.perception.state import STRATEGIES, names_of

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
NOTHING: Final = 1e-12
"""What the fusion model gives to all eligible strategies together, below which it says nothing of them."""
BARRED: Final = -1e9
"""The score of what is not eligible, before the softmax."""


@dataclass(frozen=True, slots=True)
class Layer:
    """x weights + bias: weights [inputs, outputs], bias [outputs]."""

    weights: Array
    bias: Array


@dataclass(frozen=True, slots=True)
class Network:
    """P(a | x) = (1 - keep) softmax(f(x)) + keep model(x), over the eligible strategies; 0 elsewhere.

    f: the state, held within what was seen in training, through layers with ReLU between them. model: the fusion
    model's distribution, which is part of the state (`model.*`), scaled to the eligible. With keep 1 that is all.
    """

    state_version: str
    """Of `multimood.perception.state`: it names the features, in order, and the taxonomy."""
    layers: tuple[Layer, ...]
    """The last one gives a score for each strategy, in the taxonomy's order."""
    least: Array
    """[d]: lower values of the state are read as these."""
    most: Array
    """[d]: higher ones as these."""
    keep: float = 0.0

    @classmethod
    def passing(cls, state_version: str) -> Self:
        """The policy that leaves the fusion model's own distribution as it is."""
        features, strategies = len(names_of(state_version)), len(strategies_of(state_version))
        nothing = Layer(np.zeros((features, strategies)), np.zeros(strategies))
        return cls(state_version, (nothing,), np.full(features, -np.inf), np.full(features, np.inf), keep=1.0)

    def probabilities(self, state: Array, eligible: Mask) -> Array:
        """[n, k] of states [n, d]; a row without an eligible strategy is 0 throughout."""
        own = softmax(self.scores(state), eligible)
        return (1 - self.keep) * own + self.keep * model_of(state, eligible, self.state_version)

    def scores(self, state: Array) -> Array:
        """What is given to the softmax, [n, k], of states [n, d]."""
        x = np.clip(state, self.least, self.most)
        for number, layer in enumerate(self.layers):
            x = (np.maximum(x, 0.0) if number else x) @ layer.weights + layer.bias
        return x


def strategies_of(state_version: str) -> tuple[str, ...]:
    """The strategies that a policy on this state chooses from. Raises ValueError for a version that is not known."""
    names_of(state_version)
    return STRATEGIES[taxonomy_of(state_version)]


def taxonomy_of(state_version: str) -> str:
    """`state-1:mesc` -> `mesc`."""
    return state_version.partition(":")[2]


def model_columns(state_version: str) -> slice:
    """Where in the state the fusion model's own distribution stands."""
    first = names_of(state_version).index(f"model.{strategies_of(state_version)[0]}")
    return slice(first, first + len(strategies_of(state_version)))


def model_of(state: Array, eligible: Mask, state_version: str) -> Array:
    """The fusion model's own distribution [n, k], scaled to the eligible; uniform where it gives them nothing."""
    kept = np.where(eligible, np.maximum(state[:, model_columns(state_version)], 0.0), 0.0)
    total = kept.sum(axis=1, keepdims=True)
    even = eligible / np.maximum(eligible.sum(axis=1, keepdims=True), 1)
    scaled: Array = np.where(total > NOTHING, kept / np.maximum(total, NOTHING), even)
    return scaled


def softmax(scores: Array, eligible: Mask) -> Array:
    """exp(scores) [n, k] scaled to the eligible; 0 elsewhere."""
    masked = np.where(eligible, scores, BARRED)
    shares: Array = np.exp(masked - masked.max(axis=1, keepdims=True)) * eligible
    return np.asarray(shares / np.maximum(shares.sum(axis=1, keepdims=True), NOTHING), np.float64)
