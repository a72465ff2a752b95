"""From answers to the results: per task and mask. Pure."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np

from multimood.evaluation import metrics
from multimood.evaluation.answers import Answers
from multimood.evaluation.result import FULL, NONE, Score
from multimood.evaluation.rows import Task
from multimood.taxonomy import MODALITIES

NO_JUDGE: Final = "nothing that is served judges this yet: only the majority is reported"
_AVERAGED: Final = ("accuracy", "weighted_f1", "macro_f1", "uar")


def masks(there: frozenset[str]) -> dict[str, frozenset[str] | None]:
    """The masks to be reported by name, for rows with the modalities that are `there`; None stands for all there are.

    With words only, `none` is the history alone. Else each non-empty subset.
    """
    if there <= {"text"}:
        return {FULL: None, NONE: frozenset()}
    names = [name for name in MODALITIES if name in there]
    subsets = [subset for size in range(1, len(names) + 1) for subset in combinations(names, size)]
    return {FULL: None, **{"+".join(subset): frozenset(subset) for subset in subsets}}


def scored(task: Task, found: Answers) -> Score:
    """Figures of one task under one mask: those of `metrics.score`, or of `metrics.rating` for a number."""
    if not task.labels:
        return metrics.rating(found.said[:, 0], found.truth)
    result = metrics.score(found.said, found.truth.astype(np.int64), found.groups, task.labels)
    if len(task.labels) == 2 and len(np.unique(found.truth)) == 2:  # noqa: PLR2004 - a curve is of two labels
        truth = (found.truth == 0).astype(np.int64)
        result["auc"], result["auc_interval"] = metrics.auc(found.said[:, 0], truth, found.groups)
    if task.output == "strategy":
        preferences, bias = metrics.preference(np.array(result["confusion"]))
        result["preference_bias"] = bias
        result["preferences"] = dict(zip(task.labels, map(float, preferences), strict=True))
    result["reliability"] = [
        column.tolist() for column in metrics.reliability(found.said, found.truth.astype(np.int64))
    ]
    return result


def majority_only(task: Task, truth: Any, groups: Sequence[str]) -> Score:
    """The row of a task that nothing served can answer: no figures of its own."""
    usual = metrics.score(np.full((len(truth), len(task.labels)), 1 / len(task.labels)), truth, groups, task.labels)
    own = dict.fromkeys((*_AVERAGED, "interval", "intervals"), None)
    kept = {name: usual[name] for name in ("n", "majority", "majority_label", "labels")}
    return {**own, **kept, "note": NO_JUDGE}


def over_folds(folds: Sequence[Score], pooled: Score) -> Score:
    """The mean over folds; n, interval, calibration and confusion are those of all their rows together."""

    def mean(scores: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        return {name: float(np.mean([score[name] for score in scores])) for name in _AVERAGED}

    return {**pooled, **mean(folds), "majority": mean([score["majority"] for score in folds]), "folds": len(folds)}
