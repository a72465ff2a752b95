"""Regression corrected by importance sampling, for turns and for conversations. Pure.

The regression is cross-fitted: a turn's prediction comes from conversations of other folds, so that the correction is
one of errors on new data (Chernozhukov et al. 2018).
"""

from typing import Final

import numpy as np

from multimood.ope.interval import Terms
from multimood.ope.log import Floats, picked
from multimood.ope.regression import Moments
from multimood.ope.trajectories import Trajectories
from multimood.ope.weighing import Weighed, cumulative

FOLDS: Final = 4


def doubly_robust(weighed: Weighed, predicted: Floats) -> Terms:
    """The mean of sum_a pi(a|x) q(x, a) + w (r - q(x, a)) (Dudik et al. 2011, equation 3); `predicted` [n, k] is q.

    Unbiased, like IPS, whatever q is, as long as q was not fitted to the same turns; the better q, the less variance.
    With clipped weights it leans on q where they were clipped.
    """
    log = weighed.log
    direct = (weighed.target * predicted).sum(axis=1)
    corrected = direct + weighed.weights * (log.rewards - picked(predicted, log.chosen))
    return Terms.of_turns(corrected, np.ones(len(log)), log.conversation)


def doubly_robust_conversations(weighed: Weighed, whole: Trajectories, predicted: Floats, discount: float) -> Terms:
    """The same along conversations (Jiang and Li 2016, equation 10, written out).

    The mean of sum_t discount^t (rho_t (r_t - Q(x_t, a_t)) + rho_(t-1) V(x_t)), rho_t the product of weights up to t.
    """
    log = weighed.log
    rho = cumulative(weighed, whole)
    before = np.hstack([np.ones((len(rho), 1)), rho[:, :-1]])
    error = whole.table(log.rewards - picked(predicted, log.chosen), 0.0)
    value = whole.table((weighed.target * predicted).sum(axis=1), 0.0)
    terms = (rho * error + before * value) @ discount ** np.arange(whole.horizon)
    return Terms(terms[:, None], np.ones((len(terms), 1)))


def cross_fitted(moments: Moments, contexts: Floats, discount: float = 1.0) -> Floats:
    """Predictions [n, k] of each turn by a fit that has not seen its conversation."""
    fold = np.arange(len(moments.count)) % FOLDS
    predicted = np.zeros((len(contexts), moments.actions))
    for number in range(FOLDS):
        rows = fold[moments.block] == number
        theta = moments.fit((fold != number).astype(float), discount)
        predicted[rows] = moments.predict(theta, contexts[rows])
    return predicted
