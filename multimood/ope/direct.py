"""Estimates from a regression alone: the direct method for turns, fitted Q evaluation for conversations. Pure.

They need no weights, so they are steady; they are wrong as far as the regression is. Their interval is that of fitting
anew on every resample, which tells the variance and not that error.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from multimood.ope.interval import CONFIDENCE
from multimood.ope.regression import Moments
from multimood.ope.trajectories import Trajectories
from multimood.ope.weighing import Weighed

REFITS: Final = 120


@dataclass(frozen=True, slots=True)
class Fitted:
    """A value by regression, with the bootstrap of its blocks."""

    moments: Moments
    discount: float = 1.0

    @property
    def value(self) -> float:
        """The estimate."""
        return float(self.moments.values(np.ones((1, len(self.moments.count))), self.discount)[0])

    def interval(self, seed: int = 0) -> tuple[float, float]:
        """95 % interval: a t interval with the standard error of fits on resampled blocks of conversations.

        There are few blocks, so the standard error is uncertain itself: hence t, and the factor g / (g - 1).
        """
        blocks = len(self.moments.count)
        if blocks < 2:  # noqa: PLR2004 - nothing to compare with
            return -np.inf, np.inf
        draws = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), REFITS).astype(float)
        values = self.moments.values(draws, self.discount)
        error = float(values.std(ddof=1)) * np.sqrt(blocks / (blocks - 1))
        reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, blocks - 1)) * error
        return self.value - reach, self.value + reach


def direct(weighed: Weighed, seed: int = 0) -> Fitted:
    """The direct method: the mean of sum_a pi(a|x) q(x, a), q regressed on all turns (Dudik et al. 2011, section 2)."""
    return Fitted(Moments.of(weighed.log, weighed.target, seed=seed))


def fitted_q(weighed: Weighed, whole: Trajectories, discount: float, seed: int = 0) -> Fitted:
    """Fitted Q evaluation: the mean over first turns of sum_a pi(a|x) Q(x, a) (Le et al. 2019, algorithm 3).

    Takes the context to tell all that matters of the past. Where it does not, the estimate is off by what is hidden.
    """
    moments = Moments.of(whole.timed, weighed.target, whole.first.astype(float), whole.following, seed)
    return Fitted(moments, discount)
