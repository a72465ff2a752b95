"""Train the empathy head on EPITOME (Sharma et al., EMNLP 2020): softmax regressions on frozen embeddings."""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from tokenizers import Tokenizer

from multimood.errors import NotFoundError
from multimood.training.card import write_card
from multimood.trust.empathy import LEVELS, MECHANISMS, EmpathyHead, features

EDITION: Final = "2026.11"
ENCODER: Final = Path("triton_models/text_encoder/1/model.onnx")
TOKENIZER: Final = Path(".tools/text_encoder/tokenizer.json")
COLUMNS: Final = ("er", "ip", "ex")
MOST_TOKENS: Final = 256
STRENGTHS: Final = (0.1, 0.3, 1.0, 3.0, 10.0)
FOLDS: Final = 5
_BATCH: Final = 16

Floats = NDArray[np.float32]


def train(data: Path, out: Path, seed: int = 0, encoder: Path = ENCODER, tokenizer: Path = TOKENIZER) -> dict[str, Any]:
    """Train, write `empathy.npz` and `empathy.md` below `out`, and return the metrics on the validation part.

    The strength of regularisation and whether rare levels count more are chosen by cross-validation within the training
    part, for macro F1; the validation part chooses nothing.

    Raises:
        NotFoundError: the data set, the encoder's graph or the tokenizer is not there.
    """
    x, y, held = read_pairs(data, encoder, tokenizer)
    weights = np.zeros((len(MECHANISMS), LEVELS, x.shape[1]), np.float32)
    biases = np.zeros((len(MECHANISMS), LEVELS), np.float32)
    settings: dict[str, str] = {}
    for number, mechanism in enumerate(MECHANISMS):
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


def embed(texts: Sequence[str], encoder: Path, tokenizer: Path) -> Floats:
    """Unit-length sentence embeddings of the text encoder's graph, float32 [n, d], run here on one core.

    Raises:
        NotFoundError: the graph or the tokenizer is not there.
    """
    for path in (encoder, tokenizer):
        if not path.is_file():
            raise NotFoundError(f"{path} is not there: run `make setup`, or name another text encoder")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(encoder), options, providers=["CPUExecutionProvider"])
    reader = Tokenizer.from_file(str(tokenizer))
    reader.enable_truncation(MOST_TOKENS)
    reader.enable_padding()
    result: list[Floats] = []
    # Texts of like length together: padding costs time.
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    for start in range(0, len(order), _BATCH):
        encoded = reader.encode_batch([texts[number] for number in order[start : start + _BATCH]])
        ids = np.array([item.ids for item in encoded], np.int64)
        mask = np.array([item.attention_mask for item in encoded], np.int64)
        result.append(session.run(None, {"input_ids": ids, "attention_mask": mask})[0])
    vectors = np.concatenate(result).astype(np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return vectors[back]


def read_pairs(data: Path, encoder: Path, tokenizer: Path) -> tuple[Floats, NDArray[np.int64], NDArray[np.bool_]]:
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
    vectors = embed([row[name] for name in ("seeker_post", "response_post") for row in rows], encoder, tokenizer)
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
