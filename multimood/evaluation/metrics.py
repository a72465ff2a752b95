"""How right, how sure and how one-sided predictions are, always beside the most frequent label. Pure."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score, roc_auc_score

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS: Final = 15
RESAMPLES: Final = 1_000
SEED: Final = 0
COVERAGE: Final = 0.95
SPREAD: Final = 0.1
"""Pseudo-count of every pair of strategies: preferences stay finite where one was never mistaken for another."""
_ROUNDS: Final = 1_000
_STILL: Final = 1e-9


def score(shares: Floats, truth: Ints, groups: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """All figures of one row of the results.

    `shares` float [n, k] are probabilities over `labels`, `truth` int [n] indexes them, `groups` [n] name what the
    bootstrap resamples. F1 and recall are averaged over the labels that occur in `truth` (macro, UAR) or weighted by
    how often they do; what is predicted beside them counts as wrong. `interval` is that of macro F1.
    """
    answer = shares.argmax(axis=1)
    intervals, unit = intervals_of(truth, answer, groups, len(labels))
    usual = int(np.bincount(truth, minlength=len(labels)).argmax())
    return {
        **agreement(truth, answer),
        "n": len(truth),
        "interval": intervals["macro_f1"],
        "intervals": intervals,
        "interval_of": f"macro_f1, {COVERAGE:.0%}, {RESAMPLES} bootstrap samples of {len(set(groups))} {unit}",
        "majority": agreement(truth, np.full_like(truth, usual)),
        "majority_label": labels[usual],
        "ece": calibration_error(shares, truth),
        "labels": list(labels),
        "confusion": confusion(truth, answer, len(labels)).tolist(),
    }


def auc(said: Floats, truth: Ints, groups: Sequence[str]) -> tuple[float, list[float] | None]:
    """Area under the ROC curve of numbers `said` [n] for `truth` [n] of 0 and 1 (chance: 0.5), and its 95 % interval.

    The interval is a percentile bootstrap over whole groups; samples that hold one truth only are left out; None where
    all do. NaN and None where `truth` holds one only.
    """
    if len(np.unique(truth)) < 2:  # noqa: PLR2004 - two truths make a curve
        return float("nan"), None
    names, place = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    rows = [np.flatnonzero(place == number) for number in range(len(names))]
    chance = np.random.default_rng(SEED)
    found = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([rows[number] for number in chance.integers(len(rows), size=len(rows))])
        if len(np.unique(truth[drawn])) > 1:
            found.append(roc_auc_score(truth[drawn], said[drawn]))
    ends = np.quantile(found, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]).tolist() if found else None
    return float(roc_auc_score(truth, said)), ends


def agreement(truth: Ints, answer: Ints) -> dict[str, float]:
    """Accuracy (WAR), weighted and macro F1, unweighted average recall (UAR)."""
    there = np.unique(truth)
    return {
        "accuracy": float(accuracy_score(truth, answer)),
        "weighted_f1": float(f1_score(truth, answer, labels=there, average="weighted", zero_division=0)),
        "macro_f1": float(f1_score(truth, answer, labels=there, average="macro", zero_division=0)),
        "uar": float(recall_score(truth, answer, labels=there, average="macro", zero_division=0)),
    }


def confusion(truth: Ints, answer: Ints, size: int) -> Ints:
    """Counts int [k, k]: row is the truth, column the answer."""
    counts: Ints = confusion_matrix(truth, answer, labels=np.arange(size))
    return counts


def calibration_error(shares: Floats, truth: Ints, bins: int = BINS) -> float:
    """Expected calibration error (Guo et al., ICML 2017, equation 3).

    The mean over `bins` equally wide bins of confidence of |accuracy - confidence|, weighted by their rows.
    """
    weight, sure, right = reliability(shares, truth, bins)
    return float((weight * np.abs(right - sure)).sum())


def reliability(shares: Floats, truth: Ints, bins: int = BINS) -> tuple[Floats, Floats, Floats]:
    """Share of rows, mean confidence and accuracy of each bin (left-open, as (0, 1/15]): float [bins], 0 if empty."""
    confidence, right = shares.max(axis=1), shares.argmax(axis=1) == truth
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    some = np.maximum(count, 1)
    sure = np.bincount(place, weights=confidence, minlength=bins) / some
    hits = np.bincount(place, weights=right.astype(float), minlength=bins) / some
    return count / max(len(truth), 1), sure, hits


def intervals_of(truth: Ints, answer: Ints, groups: Sequence[str], size: int) -> tuple[dict[str, list[float]], str]:
    """Percentile bootstrap over whole groups of each figure of `agreement`.

    Gives them, and what was resampled: "groups", or "rows" of a single one. Each resample counts over the labels that
    occur in all of `truth`.
    """
    names, place = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    unit = "groups"
    if len(names) == 1:
        place, unit = np.arange(len(truth)), "rows"
    count = int(place.max()) + 1
    counts = np.zeros((count, size * size))
    np.add.at(counts, (place, truth * size + answer), 1)
    drawn = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    found = _agreements((drawn @ counts).reshape(RESAMPLES, size, size), np.unique(truth))
    ends = [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]
    return {name: [float(end) for end in np.quantile(values, ends)] for name, values in found.items()}, unit


def _agreements(counts: Floats, there: Ints) -> dict[str, Floats]:
    """`agreement` of confusion matrices [m, k, k], none of them empty, over the labels that are there: [m] each."""
    hits, truths = np.diagonal(counts, axis1=1, axis2=2), counts.sum(axis=2)
    both, total = truths + counts.sum(axis=1), truths.sum(axis=1)
    f1: Floats = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
    recall: Floats = np.divide(hits, truths, out=np.zeros_like(hits), where=truths > 0)
    return {
        "accuracy": hits.sum(axis=1) / total,
        "weighted_f1": (f1 * truths).sum(axis=1) / total,
        "macro_f1": f1[:, there].mean(axis=1),
        "uar": recall[:, there].mean(axis=1),
    }


def preference(counts: Ints) -> tuple[Floats, float]:
    """How much each strategy is preferred, float [k], and the bias, after Kang et al. (ACL 2024).

    A Bradley-Terry model in which strategy i beats j whenever i is predicted and j is true, w_ij = counts[j, i]:

        p_i <- sum_j w_ij p_j / (p_i + p_j)  /  sum_j w_ji / (p_i + p_j),    j != i, from p = 1

    one strategy after the other (Newman, JMLR 2023: all at once may never settle), scaled to mean 1. The bias is the
    standard deviation of p, 0 when none is preferred. Only strategies that are true or predicted at least once take
    part (the others have p = 0 and do not count). Every pair starts with 0.1 of a win each, for a strategy that was
    never mistaken would be infinitely far from the others.
    """
    part = (counts.sum(axis=0) + counts.sum(axis=1)) > 0
    wins = counts[np.ix_(part, part)].T.astype(np.float64) + SPREAD
    np.fill_diagonal(wins, 0)
    p = np.ones(len(wins))
    for _ in range(_ROUNDS if len(wins) > 1 else 0):
        before = p.copy()
        for one in range(len(p)):
            both = p[one] + p
            p[one] = (wins[one] * p / both).sum() / (wins[:, one] / both).sum()
        p *= len(p) / p.sum()
        if np.abs(p - before).max() < _STILL:
            break
    every = np.zeros(len(counts))
    every[part] = p
    return every, float(p.std()) if len(p) else 0.0


def rating(said: Floats, truth: Floats) -> dict[str, Any]:
    """Mean absolute error and Spearman's rank correlation of numbers, beside always saying the mean of the truth."""
    return {
        "mae": float(np.abs(said - truth).mean()),
        "spearman": _correlation(_ranks(said), _ranks(truth)),
        "n": len(truth),
        "mean": {"mae": float(np.abs(truth.mean() - truth).mean()), "value": float(truth.mean())},
    }


def _ranks(values: Floats) -> Floats:
    """Equal values share their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[place].astype(np.float64)
    return ranks


def _correlation(one: Floats, other: Floats) -> float:
    spread = float(one.std() * other.std())
    return float(((one - one.mean()) * (other - other.mean())).mean()) / spread if spread else 0.0
