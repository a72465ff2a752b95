"""Softmax regression on inputs as they are: how widely each varies says how cheaply it may be used."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-not-found,import-untyped,unused-ignore]

from multimood.training.heads import Floats, Network, Task

_CLOSED: Final = np.float32(-1e9)
_ROUNDS: Final = 300


def fit_softmax(x: Floats, task: Task, strength: float) -> Network:
    """A linear head on x float32 [n, d] with an L2 penalty of 1 / (2 strength); each row only over its own labels."""
    width, size = x.shape[1], task.size
    shut = np.where(task.allowed, np.float32(0), _CLOSED)
    rows = np.arange(len(x))

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        slopes, bias = flat[: width * size].reshape(width, size), flat[width * size :]
        logits = x @ slopes.astype(np.float32) + bias.astype(np.float32) + shut
        logits -= logits.max(axis=1, keepdims=True)
        raised = np.exp(logits)
        total = raised.sum(axis=1)
        missed = task.weights * (np.log(total) - logits[rows, task.labels])
        slope = raised / total[:, None]
        slope[rows, task.labels] -= 1
        slope *= task.weights[:, None]
        gradient = (x.T @ slope).astype(np.float64) + slopes / strength
        value = float(missed.sum(dtype=np.float64) + (slopes**2).sum() / 2 / strength)
        return value, np.concatenate([gradient.ravel(), slope.sum(axis=0, dtype=np.float64)])

    start = np.zeros(width * size + size)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _ROUNDS}).x.astype(np.float32)
    return Network(None, None, found[: width * size].reshape(width, size), found[width * size :])
