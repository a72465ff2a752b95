"""Importance sampling along conversations. Pure.

A weight is a product over turns, so its variance grows exponentially with the horizon: look at the effective sample
size before the estimate.
"""

import numpy as np

from multimood.ope.interval import Terms
from multimood.ope.trajectories import Trajectories
from multimood.ope.weighing import Weighed, cumulative


def mean_return(weighed: Weighed, whole: Trajectories, discount: float) -> Terms:
    """What conversations earned under the logged policy: the mean of sum_t discount^t r_t."""
    earned = whole.table(weighed.log.rewards, 0.0) @ discount ** np.arange(whole.horizon)
    return Terms(earned[:, None], np.ones((len(earned), 1)))


def per_decision(weighed: Weighed, whole: Trajectories, discount: float) -> Terms:
    """The mean of sum_t discount^t rho_t r_t (Precup et al. 2000, section 4).

    A reward is weighed by the turns up to it, not by those after it.
    """
    discounted = whole.table(weighed.log.rewards, 0.0) * discount ** np.arange(whole.horizon)
    earned = (cumulative(weighed, whole) * discounted).sum(axis=1)
    return Terms(earned[:, None], np.ones((len(earned), 1)))


def weighted_per_decision(weighed: Weighed, whole: Trajectories, discount: float) -> Terms:
    """Sum over t of discount^t sum(rho_t r_t) / sum(rho_t) over conversations (Precup et al. 2000, section 4).

    A conversation that is over counts with its last weight and a reward of 0.
    """
    rho = cumulative(weighed, whole)
    discounted = whole.table(weighed.log.rewards, 0.0) * discount ** np.arange(whole.horizon)
    return Terms(rho * discounted, rho)
