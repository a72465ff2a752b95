"""The direct learner: the logged policy cloned, as the baseline that the others have to pass."""

from typing import Final

import numpy as np

from multimood.learning.fitting import layer_of, minimise
from multimood.learning.learner import Settings, Watch
from multimood.learning.network import Array, Network, softmax
from multimood.learning.taught import Scale, Taught, network_of
from multimood.ope.log import Log

RIDGE: Final = 1e-4


def learn(whole: Log, taught: Taught, settings: Settings, watch: Watch) -> Network:  # noqa: ARG001 - see Learner
    """Multinomial logistic regression on the logged distributions: behaviour cloning with soft labels."""
    scale = Scale.of(taught.state)
    return network_of(taught, scale, (layer_of(cloned(taught, scale, watch), taught.eligible.shape[1]),))


def cloned(taught: Taught, scale: Scale, watch: Watch) -> Array:
    """Coefficients [(d + 1) k] that minimise the mean KL(logged || policy), with a small ridge."""
    x = with_one(scale(taught.state))
    fixed = np.where(taught.behaviour > 0, taught.behaviour * np.log(np.maximum(taught.behaviour, 1e-300)), 0.0).sum()

    def loss(coefficients: Array) -> tuple[float, Array]:
        table = coefficients.reshape(x.shape[1], -1)
        policy = softmax(x @ table, taught.eligible)
        likely = np.where(taught.behaviour > 0, taught.behaviour * np.log(np.maximum(policy, 1e-300)), 0.0).sum()
        slope = x.T @ (policy - taught.behaviour) / len(x) + RIDGE * table
        return float((fixed - likely) / len(x) + RIDGE / 2 * np.square(table).sum()), slope.ravel()

    return minimise("cloning", loss, np.zeros(x.shape[1] * taught.eligible.shape[1]), watch)


def with_one(x: Array) -> Array:
    """[n, d] -> [n, d + 1]: a column of ones behind it."""
    return np.hstack([x, np.ones((len(x), 1))])
