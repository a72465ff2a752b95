"""Do judges agree, and what are they biased by: arithmetic on scores. Pure; NaN stands for a score nobody gave.

Needs `krippendorff` and scipy (the `eval` extra).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import krippendorff
import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

Scores = NDArray[np.float64]
"""Of some judges or criteria: float [n]."""
RESAMPLES: Final = 200
SEED: Final = 0
COVERAGE: Final = 0.95
_LEAST: Final = 3
"""Two replies can always be put in one order."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """Spearman's rank correlation over `n` replies; None where it is not defined."""

    n: int
    spearman: float | None
    p: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far judges agree on one criterion."""

    judges: int
    replies: int
    """Those that at least two of them scored."""
    alpha: float | None
    """Krippendorff's, of interval scores: 1 is agreement, 0 chance. None where it is not defined."""
    interval: tuple[float, float] | None
    """95 %, percentile bootstrap over replies."""
    pairs: Mapping[str, Correlation]
    """By "judge | judge"."""


@dataclass(frozen=True, slots=True)
class SelfPreference:
    """What a judging model makes of its own replies, each figure a mean of scores, 1..10."""

    own: int
    others: int
    gap: float | None
    """Its mean of its own replies less its mean of the others."""
    gap_of_others: float | None
    """The same by the other judges: how much better those replies are, to their minds."""


def agreement(scores: Mapping[str, Scores]) -> Agreement:
    """Of the scores that each judge gave to the same n replies."""
    names = [name for name, given in scores.items() if np.isfinite(given).any()]
    table = np.array([scores[name] for name in names]) if names else np.empty((0, 0))
    shared = table[:, np.isfinite(table).sum(axis=0) > 1] if len(names) > 1 else np.empty((len(names), 0))
    pairs = {f"{one} | {other}": correlation(scores[one], scores[other]) for one, other in combinations(names, 2)}
    return Agreement(len(names), shared.shape[1], _alpha(shared), _interval(shared), pairs)


def correlation(one: Scores, other: Scores) -> Correlation:
    """Of two scores, or of a score and something else, over the replies that have both."""
    both = np.isfinite(one) & np.isfinite(other)
    count = int(both.sum())
    if count < _LEAST or len(np.unique(one[both])) == 1 or len(np.unique(other[both])) == 1:
        return Correlation(count, None, None)
    found = spearmanr(one[both], other[both])
    return Correlation(count, float(found.statistic), float(found.pvalue))


def self_preference(judge: str, own: NDArray[np.bool_], scores: Mapping[str, Scores]) -> SelfPreference:
    """`own` bool [n] are the replies that the judge's model wrote; `scores` by judge, the mean over criteria, [n]."""
    gaps = {name: _gap(given, own) for name, given in scores.items()}
    rest = [gap for name, gap in gaps.items() if name != judge and gap is not None]
    return SelfPreference(int(own.sum()), int((~own).sum()), gaps[judge], float(np.mean(rest)) if rest else None)


def mean_of(criteria: Sequence[Scores]) -> Scores:
    """Of each reply the mean of what was scored, [n]; NaN where nothing was."""
    table = np.array(criteria)
    given = np.isfinite(table)
    sums = np.where(given, table, 0.0).sum(axis=0)
    found: Scores = np.divide(sums, given.sum(axis=0), out=np.full(table.shape[1], np.nan), where=given.any(axis=0))
    return found


def _gap(given: Scores, own: NDArray[np.bool_]) -> float | None:
    there = np.isfinite(given)
    if not (there & own).any() or not (there & ~own).any():
        return None
    return float(given[there & own].mean() - given[there & ~own].mean())


def _alpha(shared: NDArray[np.float64]) -> float | None:
    if not shared.size or len(np.unique(shared[np.isfinite(shared)])) == 1:
        return None
    return float(krippendorff.alpha(reliability_data=shared, level_of_measurement="interval"))


def _interval(shared: NDArray[np.float64]) -> tuple[float, float] | None:
    count = shared.shape[1] if shared.size else 0
    if count < _LEAST:
        return None
    chance = np.random.default_rng(SEED)
    drawn = [_alpha(shared[:, chance.integers(count, size=count)]) for _ in range(RESAMPLES)]
    known = [alpha for alpha in drawn if alpha is not None]
    if not known:
        return None
    low, high = np.quantile(known, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)
