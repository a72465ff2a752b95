"""Feelings last: what a person's previous turn says about this one."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-not-found,import-untyped,unused-ignore]

from multimood.training.fusion.emotion import SHUT, Pool
from multimood.training.fusion.network import Floats, softmax

PENALTY = 1.0


def fit_inertia(logits: Floats, pooled: Pool) -> tuple[Floats, Floats]:
    """Learn what to add to an utterance's log-probabilities: previous [8] @ inertia [8, 8] + shift [8].

    `logits` (calibrated, by networks that did not see the row's dialogue) stand for both turns, as they will when the
    model is served. Only training rows with a previous turn of the same person count.
    """
    rows = np.flatnonzero(~pooled.held & (pooled.previous >= 0))
    now = np.log(softmax(logits[rows]) + 1e-6).astype(np.float64)
    before = softmax(logits[pooled.previous[rows]]).astype(np.float64)
    labels, weights = pooled.task.labels[rows], pooled.task.weights[rows].astype(np.float64)
    shut = np.where(pooled.task.allowed[rows], 0.0, SHUT * 10)
    size = now.shape[1]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        inertia, shift = flat[: size * size].reshape(size, size), flat[size * size :]
        scores = now + before @ inertia + shift + shut
        scores -= scores.max(axis=1, keepdims=True)
        raised = np.exp(scores)
        total = raised.sum(axis=1)
        value = float(
            (weights * (np.log(total) - scores[np.arange(len(labels)), labels])).sum() + PENALTY * (flat**2).sum()
        )
        slope = raised / total[:, None]
        slope[np.arange(len(labels)), labels] -= 1
        slope *= weights[:, None]
        return value, np.concatenate([(before.T @ slope).ravel(), slope.sum(axis=0)]) + 2 * PENALTY * flat

    found = minimize(loss, np.zeros(size * size + size), jac=True, method="L-BFGS-B").x.astype(np.float32)
    return found[: size * size].reshape(size, size), found[size * size :]


def carried(logits: Floats, previous: NDArray[np.int64], inertia: Floats, shift: Floats) -> Floats:
    """Fused distributions of turns in order, [n, 8], each told the one before it (`previous`, -1 for none)."""
    result = np.zeros_like(logits)
    now = np.log(softmax(logits) + 1e-6)
    for number, before in enumerate(previous):
        result[number] = softmax(now[number] if before < 0 else now[number] + result[before] @ inertia + shift)
    return result
