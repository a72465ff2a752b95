"""How right a classifier is, always beside the one that knows only what is most frequent."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from multimood.training.fusion.network import Floats


@dataclass(frozen=True, slots=True)
class Score:
    """On `n` rows: accuracy, macro and weighted F1, and the same of always answering the most frequent label."""

    n: int
    accuracy: float
    macro_f1: float
    weighted_f1: float
    majority_accuracy: float
    majority_macro_f1: float
    majority_weighted_f1: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the results: what was predicted from which modalities on which corpus' validation part."""

    what: str
    modalities: str
    corpus: str
    score: Score


@dataclass(frozen=True, slots=True)
class Rated:
    """Intensity on `n` turns: mean absolute error, that of always saying the mean, and Spearman's rank correlation."""

    n: int
    error: float
    error_of_mean: float
    correlation: float


def score(shares: Floats, truth: NDArray[np.int64], known: NDArray[np.int64], allowed: NDArray[np.bool_]) -> Score:
    """Score distributions float [n, k] against labels int64 [n], only over the labels of `allowed`, bool [k].

    `known` are the training part's labels: they say which label is the most frequent.
    """
    labels = np.flatnonzero(allowed)
    predicted = np.where(allowed, shares, -np.inf).argmax(axis=1)
    majority = np.full_like(truth, np.bincount(known).argmax())

    def both(answer: NDArray[np.int64]) -> tuple[float, float, float]:
        macro, weighted = (
            float(f1_score(truth, answer, labels=labels, average=how, zero_division=0)) for how in ("macro", "weighted")
        )
        return float((truth == answer).mean()), macro, weighted

    return Score(len(truth), *both(predicted), *both(majority))
