"""Train the empathy head on EPITOME (Sharma et al., EMNLP 2020): softmax regressions on frozen embeddings."""

import csv
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from multimood.errors import NotFoundError
from multimood.training.card import write_card
from multimood.training.encoders import Places, Report, embed_texts
from multimood.trust.empathy import LEVELS, MECHANISMS, EmpathyHead, features

EDITION: Final = "2026.11"
COLUMNS: Final = ("er", "ip", "ex")
STRENGTHS: Final = (0.1, 0.3, 1.0, 3.0, 10.0)
FOLDS: Final = 5

Floats = NDArray[np.float32]


def train(data: Path, out: Path, seed: int, places: Places, report: Report) -> dict[str, Any]:
    """Train, write `empathy.npz` and `empathy.md` below `out`, and return the metrics on the validation part.

    The strength of regularisation and whether rare levels count more are chosen by cross-validation within the training
    part, for macro F1; the validation part chooses nothing.

    Raises:
        NotFoundError: the data set, the encoder's graph or the tokenizer is not there.
    """
    x, y, held = read_pairs(data, places, report)
    weights = np.zeros((len(MECHANISMS), LEVELS, x.shape[1]), np.float32)
    biases = np.zeros((len(MECHANISMS), LEVELS), np.float32)
    settings: dict[str, str] = {}
    for number, mechanism in enumerate(MECHANISMS):
        report(f"{mechanism}: choosing by cross-validation")
        model, settings[mechanism] = _choose(x[~held], y[~held, number], seed)
        weights[number], biases[number] = model.coef_, model.intercept_
    out.mkdir(parents=True, exist_ok=True)
    target = out / "empathy.npz"
    np.savez_compressed(target, weights=weights.astype(np.float16), biases=biases, edition=np.str_(EDITION))
    head = EmpathyHead.load(target)
    metrics: dict[str, Any] = {"version": head.version, "pairs": int(held.sum())}
    metrics |= evaluate(head, x[held], y[held], y[~held])
    metrics["chosen by cross-validation"] = settings
    write_card(out / "empathy.md", "Empathy head", _ABOUT, metrics)
    return metrics


def evaluate(head: EmpathyHead, x: Floats, y: NDArray[np.int64], known: NDArray[np.int64]) -> dict[str, Any]:
    """Macro F1 and accuracy per mechanism, beside always answering the training part's most frequent level."""
    predicted = head.levels_of(x).argmax(axis=2)
    result: dict[str, Any] = {}
    for number, mechanism in enumerate(MECHANISMS):
        majority = np.full_like(y[:, number], np.bincount(known[:, number]).argmax())
        result[mechanism] = {
            "macro F1": float(f1_score(y[:, number], predicted[:, number], average="macro")),
            "macro F1 of the majority": float(f1_score(y[:, number], majority, average="macro")),
            "accuracy": float((y[:, number] == predicted[:, number]).mean()),
            "accuracy of the majority": float((y[:, number] == majority).mean()),
        }
    return result


def read_pairs(data: Path, places: Places, report: Report) -> tuple[Floats, NDArray[np.int64], NDArray[np.bool_]]:
    """Features float32 [n, 3d], levels int64 [n, 3], and which pairs are held for validation, bool [n].

    Raises:
        NotFoundError: the data set, the encoder's graph or the tokenizer is not there.
    """
    csv.field_size_limit(sys.maxsize)
    path = data / "text" / "epitome_empathy.csv"
    if not path.is_file():
        raise NotFoundError(f"{path} is not there: give the folder that holds text/")
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    texts = [row[name] for name in ("seeker_post", "response_post") for row in rows]
    vectors = embed_texts(places, texts, report)
    x = features(vectors[: len(rows)], vectors[len(rows) :])
    y = np.array([[int(row[column]) for column in COLUMNS] for row in rows], np.int64)
    return x, y, np.array([row["split"] != "train" for row in rows])


def _choose(x: Floats, y: NDArray[np.int64], seed: int) -> tuple[Any, str]:
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    best: tuple[float, float, str | None] = (-1.0, STRENGTHS[0], None)
    for strength in STRENGTHS:
        for balance in (None, "balanced"):
            model = LogisticRegression(C=strength, class_weight=balance, max_iter=2_000)
            score = float(f1_score(y, cross_val_predict(model, x, y, cv=folds), average="macro"))
            best = max(best, (score, strength, balance), key=lambda item: item[0])
    score, strength, balance = best
    model = LogisticRegression(C=strength, class_weight=balance, max_iter=2_000).fit(x, y)
    return model, f"C {strength}, weights {balance or 'equal'}, macro F1 {score:.3f}"


_ABOUT: Final = """\
Judges how much empathy a reply to a person shows: emotional reactions, interpretations and explorations, each none (0),
weak (1) or strong (2). Softmax regressions on [r, s*r, |s-r|] of the embeddings of the person's words s and the reply
r (all-mpnet-base-v2, adapted: the Triton model `text_encoder`). Run with numpy alone.

Trained on EPITOME's Reddit pairs (research use): the weights carry that restriction; `multimood train empathy` repeats
the training on your own data. English. It learned what peers write to peers: warm words that help little can please it.
"""
