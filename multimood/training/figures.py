"""Figures of a classifier as a card shows them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from multimood.evaluation import metrics
from multimood.taxonomy import EMOTIONS
from multimood.training.heads import Floats

NAMES: Final = {"accuracy": "accuracy", "weighted_f1": "weighted F1", "macro_f1": "macro F1", "uar": "UAR"}


def figures(
    shares: Floats, labels: NDArray[np.int64], groups: Sequence[str], known: Sequence[str]
) -> Mapping[str, Any]:
    """Over the emotions that a corpus knows: `shares` float [n, 8] and `labels` int64 [n] over EMOTIONS, `groups` [n].

    Each beside that of always answering the label that is most frequent in these rows.
    """
    places = [EMOTIONS.index(label) for label in known]
    kept = shares[:, places].astype(np.float64)
    truth = np.array([places.index(label) for label in labels], np.int64)
    score = metrics.score(kept / kept.sum(axis=1, keepdims=True), truth, groups, known)
    usual = score["majority"]
    return {
        "rows": score["n"],
        **{f"{shown} (majority)": (score[name], usual[name]) for name, shown in NAMES.items()},
        "macro F1, 95 % over groups": tuple(score["interval"]),
        "calibration error": score["ece"],
    }
