"""Importance weights: how much likelier the target policy takes what was taken. Pure."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from multimood.ope.log import Floats, Log, picked
from multimood.ope.policy import Policy, target
from multimood.ope.trajectories import Trajectories


@dataclass(frozen=True, slots=True)
class Weighed:
    """Decisions with a target policy."""

    log: Log
    target: Floats
    """[n, k]."""
    weights: Floats
    """[n]: target over behaviour probability of what was taken, clipped if that was asked for."""
    clipped: float
    """Share of the weights that was above the clip."""

    @classmethod
    def of(cls, log: Log, policy: Policy, clip: float | None = None) -> Self:
        """Weigh. `clip` is the largest weight: less variance, and a bias towards the logged policy."""
        distribution = target(policy, log)
        weights: Floats = picked(distribution, log.chosen) / log.propensity
        above = 0.0 if clip is None or not len(log) else float((weights > clip).mean())
        kept: Floats = weights if clip is None else np.minimum(weights, clip)
        return cls(log, distribution, kept, above)


def expected_size(weighed: Weighed, conversations: Trajectories) -> float:
    """The effective sample size that products of the weights should have, by the two policies and not by the draw.

    Conversations over the product over turns of the mean of E_mu w^2 = sum_a pi(a|x)^2 / mu(a|x), as if turns were
    independent. Products have tails that a log mostly has not drawn: their sample looks even until one is.
    """
    behaviour = weighed.log.behaviour
    known = weighed.log.eligible
    squares = np.where(known, np.square(weighed.target) / np.where(known, behaviour, 1.0), 0.0)
    each: Floats = squares.sum(axis=1)
    return conversations.conversations / float(conversations.table(each, 1.0).mean(axis=0).prod())


def cumulative(weighed: Weighed, conversations: Trajectories) -> Floats:
    """Products of the weights up to and with each turn [conversations, horizon]; after the end the last one stays."""
    return np.asarray(np.cumprod(conversations.table(weighed.weights, 1.0), axis=1), np.float64)
