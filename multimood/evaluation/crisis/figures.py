"""From what was thought of labelled users to figures, with what chance and the majority would give. Pure."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from multimood.evaluation.crisis.judged import Judged
from multimood.evaluation.crisis.users import AT_RISK, LEVELS
from multimood.evaluation.metrics import COVERAGE, RESAMPLES, SEED
from multimood.safety.verdict import LEVELS as JUDGED

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

UNIT: Final = "the user, over all their posts"
RECALLS: Final = (0.8, 0.85, 0.9, 0.95, 0.975, 1.0)
"""Points of the curve that are reported."""


def figures(found: Sequence[Judged]) -> dict[str, Any]:
    """All figures of at least one user; None where a figure needs what is not there (a class, a flag).

    `recall`, `precision`: of ideation and above, the unit being the user. `any_post`: the same where a user counts as
    found as soon as one post alone would be escalated. `confusion`: users by label and by the level they were judged.
    `curve`: the best precision at or above a recall, over all thresholds: what another threshold would have given on
    these users, not what can be relied on.
    """
    risk = np.array([one.risk for one in found])
    truth = risk >= AT_RISK
    flagged = np.array([one.at_risk for one in found])
    gravest = np.array([one.any_message for one in found])
    probability = np.array([one.probability for one in found])
    taken = np.array([each for one in found for each in one.milliseconds])
    return {
        "unit": UNIT,
        "n": len(found),
        "messages": len(taken),
        **detection(truth, flagged),
        "auc": _auc(truth, probability),
        "intervals": _intervals(truth, flagged, probability),
        "interval_of": f"{COVERAGE:.0%}, {RESAMPLES} bootstrap samples of {len(found)} users",
        "per_level": {
            name: {
                "n": int((risk == level).sum()),
                "flagged": _share(flagged[risk == level]),
                "flagged_any_post": _share(gravest[risk == level]),
            }
            for level, name in enumerate(LEVELS)
        },
        "confusion": {
            name: {judged: sum(one.risk == level and one.level == judged for one in found) for judged in JUDGED}
            for level, name in enumerate(LEVELS)
        },
        "any_post": detection(truth, gravest),
        "majority": {
            "at_risk": bool(truth.mean() >= 1 / 2),
            "accuracy": float(max(truth.mean(), 1 - truth.mean())),
            "precision_of_flagging_all": float(truth.mean()),
        },
        "curve": _curve(truth, probability),
        "latency_ms": {name: float(np.quantile(taken, share)) for name, share in (("p50", 0.5), ("p99", 0.99))},
    }


def detection(truth: Flags, flagged: Flags) -> dict[str, float | None]:
    """Recall, precision and accuracy of flags [n]."""
    return {
        "recall": _share(flagged[truth]),
        "precision": _share(truth[flagged]),
        "accuracy": float((truth == flagged).mean()),
    }


def _share(flags: Flags) -> float | None:
    return float(flags.mean()) if flags.size else None


def _auc(truth: Flags, scores: Floats) -> float | None:
    return float(roc_auc_score(truth, scores)) if 0 < truth.sum() < truth.size else None


def _intervals(truth: Flags, flagged: Flags, probability: Floats) -> dict[str, list[float] | None]:
    chance = np.random.default_rng(SEED)
    drawn: dict[str, list[float]] = {"recall": [], "precision": [], "auc": []}
    for _ in range(RESAMPLES):
        rows = chance.integers(0, truth.size, truth.size)
        scores = {**detection(truth[rows], flagged[rows]), "auc": _auc(truth[rows], probability[rows])}
        for name, values in drawn.items():
            if (value := scores[name]) is not None:
                values.append(value)
    ends = [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]
    return {
        name: [float(end) for end in np.quantile(values, ends)] if values else None for name, values in drawn.items()
    }


def _curve(truth: Flags, probability: Floats) -> list[dict[str, float]]:
    if not truth.any():
        return []
    # Users of the same probability are flagged together.
    bars = np.unique(probability)
    flagged = probability[None, :] >= bars[:, None]
    hits = (flagged & truth).sum(axis=1)
    recall, precision = hits / truth.sum(), hits / flagged.sum(axis=1)
    points = []
    for wanted in RECALLS:
        best = int(np.argmax(np.where(recall >= wanted, precision, -1.0)))
        points.append(
            {"recall": float(recall[best]), "precision": float(precision[best]), "probability": float(bars[best])}
        )
    return points
