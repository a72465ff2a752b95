"""Small softmax networks with numpy: one hidden layer or none; each row counts only over its own labels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_HIDDEN: float = -1e9
_STILL = 1e-5
_BATCH = 256
_WARM_UP = 200
_BETA = (0.9, 0.999)


@dataclass(frozen=True, slots=True)
class Task:
    """What a network is to say: `labels` int64 [n], chosen among `allowed` bool [n, k]; `weights` float32 [n]."""

    labels: NDArray[np.int64]
    allowed: NDArray[np.bool_]
    weights: Floats

    @property
    def size(self) -> int:
        """Number of outputs."""
        return int(self.allowed.shape[1])

    def rows(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Task":
        """The task on some of the rows."""
        return Task(self.labels[chosen], self.allowed[chosen], self.weights[chosen])


@dataclass(frozen=True, slots=True)
class Network:
    """logits = relu(x inner + inner_bias) outer + outer_bias, or x outer + outer_bias without a hidden layer."""

    inner: Floats | None
    inner_bias: Floats | None
    outer: Floats
    outer_bias: Floats

    def logits(self, x: Floats) -> Floats:
        """Outputs before softmax: [n, d] -> [n, k]."""
        hidden = x if self.inner is None or self.inner_bias is None else np.maximum(x @ self.inner + self.inner_bias, 0)
        result: Floats = (hidden @ self.outer + self.outer_bias).astype(np.float32)
        return result


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network with a hidden layer is trained."""

    hidden: int = 256
    epochs: int = 15
    rate: float = 1e-3
    decay: float = 1e-2
    dropout: float = 0.4
    blanked: float = 0.1
    """Share of the inputs that is hidden in each step."""


def softmax(logits: NDArray[np.floating]) -> Floats:
    """Along the last axis."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: Floats = (raised / raised.sum(axis=-1, keepdims=True)).astype(np.float32)
    return result


def standard(x: Floats) -> tuple[Floats, Floats]:
    """Mean, and the factor that gives unit variance, of each input; 0 for one that never varies. [d] each."""
    spread = x.std(axis=0)
    factor = np.where(spread > _STILL, 1 / np.maximum(spread, _STILL), 0).astype(np.float32)
    return x.mean(axis=0), factor


def fit_hidden(x: Floats, task: Task, recipe: Recipe, seed: int) -> Network:
    """A network with one hidden layer by AdamW (Loshchilov and Hutter 2019)."""
    chance = np.random.default_rng(seed)
    count, width = x.shape
    parameters: list[Floats] = [
        (chance.standard_normal((width, recipe.hidden)) * np.sqrt(2 / width)).astype(np.float32),
        np.zeros(recipe.hidden, np.float32),
        (chance.standard_normal((recipe.hidden, task.size)) * np.sqrt(1 / recipe.hidden)).astype(np.float32),
        np.zeros(task.size, np.float32),
    ]
    first = [np.zeros_like(array) for array in parameters]
    second = [np.zeros_like(array) for array in parameters]
    steps, step = recipe.epochs * -(-count // _BATCH), 0
    warm_up = min(_WARM_UP, steps / 5)
    for _ in range(recipe.epochs):
        order = chance.permutation(count)
        for start in range(0, count, _BATCH):
            step += 1
            rows = order[start : start + _BATCH]
            rate = recipe.rate * min(1.0, step / warm_up) * (1 + math.cos(math.pi * step / steps)) / 2
            for number, slope in enumerate(_slopes(parameters, x[rows], task.rows(rows), recipe, chance)):
                first[number] = _BETA[0] * first[number] + (1 - _BETA[0]) * slope
                second[number] = _BETA[1] * second[number] + (1 - _BETA[1]) * slope**2
                spread = np.sqrt(second[number] / (1 - _BETA[1] ** step)) + np.float32(1e-8)
                move = (first[number] / (1 - _BETA[0] ** step) / spread).astype(np.float32)
                if parameters[number].ndim > 1:
                    move += recipe.decay * parameters[number]
                parameters[number] = (parameters[number] - np.float32(rate) * move).astype(np.float32)
    return Network(*parameters)


def _slopes(
    parameters: Sequence[Floats], x: Floats, task: Task, recipe: Recipe, chance: np.random.Generator
) -> list[Floats]:
    """Gradients of the mean weighted cross-entropy, by back-propagation, with dropout."""
    inner, inner_bias, outer, outer_bias = parameters
    shown = (chance.random(x.shape, dtype=np.float32) >= recipe.blanked) / np.float32(1 - recipe.blanked)
    seen = x * shown
    before = seen @ inner + inner_bias
    kept = (chance.random(before.shape, dtype=np.float32) >= recipe.dropout) / np.float32(1 - recipe.dropout)
    hidden = np.maximum(before, 0) * kept
    back = softmax(np.where(task.allowed, hidden @ outer + outer_bias, _HIDDEN))
    back[np.arange(len(x)), task.labels] -= 1
    back *= task.weights[:, None] / len(x)
    below = (back @ outer.T) * kept * (before > 0)
    return [seen.T @ below, below.sum(axis=0), hidden.T @ back, back.sum(axis=0)]
