"""The contextual bandit: a softmax that climbs the off-policy estimate of its own value, tied to the logged policy.

It maximises mean_i [ sum_a pi(a|x_i) G_i(a) ] - caution * KL(pi || logged), with the doubly robust score of each action
G_i(a) = q(x_i, a) + 1{a = a_i} (r_i - q(x_i, a_i)) / mu(a_i|x_i) (Dudik et al. 2011; Athey and Wager 2021), q
cross-fitted by conversation. With importance weights alone, q is the mean reward: the policy gradient's baseline.
"""

from typing import Final

import numpy as np

from multimood.learning.direct import RIDGE, cloned, with_one
from multimood.learning.fitting import layer_of, minimise
from multimood.learning.learner import Settings, Watch
from multimood.learning.network import Array, Network, softmax
from multimood.learning.taught import Scale, Taught, network_of
from multimood.ope.doubly_robust import cross_fitted
from multimood.ope.log import Log
from multimood.ope.regression import Moments
from multimood.ope.support import RARE

_TINY: Final = 1e-12


def learn(whole: Log, taught: Taught, settings: Settings, watch: Watch) -> Network:  # noqa: ARG001 - see Learner
    """Clone the logged policy, then climb from there."""
    scale = Scale.of(taught.state)
    x, logged = with_one(scale(taught.state)), np.log(np.maximum(taught.behaviour, _TINY))
    gained = scores(taught, settings)
    spread = float(taught.log.rewards.std()) or 1.0
    cost = settings.caution * spread

    def loss(coefficients: Array) -> tuple[float, Array]:
        table = coefficients.reshape(x.shape[1], -1)
        policy = softmax(x @ table, taught.eligible)
        each = cost * (np.log(np.maximum(policy, _TINY)) - logged) - gained
        value = (policy * each).sum(axis=1, keepdims=True)
        slope = x.T @ (policy * (each - value)) / len(x) + cost * RIDGE * table
        return float(value.mean() + cost * RIDGE / 2 * np.square(table).sum()), slope.ravel()

    start = cloned(taught, scale, watch)
    return network_of(taught, scale, (layer_of(minimise("climbing", loss, start, watch), taught.eligible.shape[1]),))


def scores(taught: Taught, settings: Settings) -> Array:
    """What each action is thought to have earned [n, k], less the mean reward; weights above 1 / RARE are cut."""
    log = taught.log
    mean = float(log.rewards.mean())
    if settings.weighting == "dr":
        predicted = taught.spread(_predicted(log, settings.seed)) - mean
    else:
        predicted = np.zeros(taught.eligible.shape)
    rows = np.arange(len(log))
    found = np.where(taught.eligible, predicted, 0.0)
    left = log.rewards - mean - found[rows, taught.chosen]
    found[rows, taught.chosen] += left / np.maximum(taught.behaviour[rows, taught.chosen], RARE)
    return found


def _predicted(log: Log, seed: int) -> Array:
    moments = Moments.of(log, log.behaviour, seed=seed)
    return cross_fitted(moments, log.covariates)
