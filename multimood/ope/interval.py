"""Estimates as ratios of sums over conversations, and their bootstrap intervals. Pure.

Turns of a conversation depend on each other, so conversations are what is resampled.
"""

import warnings
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from scipy import stats

from multimood.ope.log import Floats, Ints

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 1000
MOST_UNITS: Final = 1000
"""More conversations than this are put together at random into so many units, which are as independent as they are;
time and memory are bounded by it."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Sums of `u` conversations: the estimate is the sum over `m` of sum(numerator[:, m]) / sum(denominator[:, m])."""

    numerator: Floats
    """[u, m]."""
    denominator: Floats
    """[u, m]."""

    @classmethod
    def of_turns(cls, numerator: Floats, denominator: Floats, conversation: Ints) -> Self:
        """Add the terms of turns [n] up by conversation."""
        unit = np.unique(conversation, return_inverse=True)[1]
        top: Floats = np.bincount(unit, numerator).astype(float)
        bottom: Floats = np.bincount(unit, denominator).astype(float)
        return cls(top[:, None], bottom[:, None])

    @property
    def value(self) -> float:
        """The estimate."""
        return float(_ratio(*self.numerator.T, *self.denominator.T))

    def interval(self, seed: int = 0) -> tuple[float, float]:
        """95 % bootstrap interval, bias-corrected and accelerated (Efron 1987): few large weights skew estimates.

        Percentiles where the correction is not defined; resamples without any weight say nothing. Of one conversation
        nothing is known of how others vary: -inf..inf.
        """
        if len(self.numerator) < 2:  # noqa: PLR2004 - nothing to compare with
            return -np.inf, np.inf
        gathered = self._gathered(seed)
        data = (*gathered.numerator.T, *gathered.denominator.T)
        with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            found = stats.bootstrap(
                data, _ratio, paired=True, vectorized=True, n_resamples=RESAMPLES, batch=100,
                confidence_level=CONFIDENCE, method="BCa", rng=np.random.default_rng(seed),
            )  # fmt: skip
        low, high = (float(end) for end in found.confidence_interval)
        if np.isfinite([low, high]).all():
            return low, high
        low, high = np.nanquantile(found.bootstrap_distribution, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return float(low), float(high)

    def _gathered(self, seed: int) -> "Terms":
        units = len(self.numerator)
        if units <= MOST_UNITS:
            return self
        place = np.random.default_rng(seed).permutation(units) % MOST_UNITS
        tables: list[Floats] = []
        for table in (self.numerator, self.denominator):
            sums = np.zeros((MOST_UNITS, table.shape[1]))
            np.add.at(sums, place, table)
            tables.append(sums)
        return Terms(*tables)


def _ratio(*columns: Any, axis: int = -1) -> Any:
    """Sum over m of the ratio of sums along `axis`; the first half of the columns are numerators."""
    half = len(columns) // 2
    return sum(
        np.divide(top.sum(axis=axis), bottom.sum(axis=axis))
        for top, bottom in zip(columns[:half], columns[half:], strict=True)
    )
