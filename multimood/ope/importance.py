"""Importance sampling for single turns. Pure."""

import numpy as np

from multimood.ope.interval import Terms
from multimood.ope.weighing import Weighed


def mean(weighed: Weighed) -> Terms:
    """What the logged policy earned: sum(r) / n."""
    log = weighed.log
    return Terms.of_turns(log.rewards, np.ones(len(log)), log.conversation)


def ips(weighed: Weighed) -> Terms:
    """Inverse propensity scoring: sum(w r) / n with w = pi(a|x) / mu(a|x) (Horvitz and Thompson 1952).

    Unbiased where mu > 0 wherever pi > 0; its variance grows with the weights.
    """
    log = weighed.log
    return Terms.of_turns(weighed.weights * log.rewards, np.ones(len(log)), log.conversation)


def snips(weighed: Weighed) -> Terms:
    """Self-normalised: sum(w r) / sum(w) (Swaminathan and Joachims 2015, equation 8).

    Stays within the rewards seen, does not change its mind when a constant is added to all; biased by O(1/n).
    """
    log = weighed.log
    return Terms.of_turns(weighed.weights * log.rewards, weighed.weights, log.conversation)
