"""How much each modality counts when several are there: measured where real pairs exist, said where none do.

Late fusion by weighted log-probabilities (log-linear opinion pool; Genest and Zidek 1986). The pairs: RAVDESS takes, of
which we have the voice and what two face models of others made of the same take's picture; and the votes of people who
judged CREMA-D clips by voice alone, face alone, and both.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-not-found,import-untyped,unused-ignore]

from multimood.taxonomy import EMOTIONS
from multimood.training.fusion.corpora import read_table
from multimood.training.fusion.metrics import Row, score
from multimood.training.fusion.network import Floats, softmax

FACE_MODEL: Final = "aumlp"
"""Of the two face models in the pairs the one that, like ours, looks at single frames and averages."""
_FACE_COLUMNS: Final = (
    ("anger", "anger"), ("calm", "neutral"), ("disgust", "disgust"), ("fear", "fear"),
    ("happy", "joy"), ("neutral", "neutral"), ("sad", "sadness"), ("surprise", "surprise"),
)  # fmt: skip
_VOTES: Final = (("A", "anger"), ("D", "disgust"), ("F", "fear"), ("H", "joy"), ("N", "neutral"), ("S", "sadness"))
_LEAST: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Pairs:
    """Log-probabilities of voice and face over EMOTIONS, the true shares (float32 [n, 8] each), the corpus' labels."""

    voice: Floats
    face: Floats
    truth: Floats
    allowed: NDArray[np.bool_]
    held: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Weights:
    """Of voice and face: alone (`voice_alone`, `face_alone`) and together."""

    voice_alone: float
    face_alone: float
    voice: float
    face: float

    @property
    def discounts(self) -> tuple[float, float]:
        """How much less each counts in company than alone: below 1, because the two are not independent."""
        return self.voice / self.voice_alone, self.face / self.face_alone


def read_takes(data: Path, paths: dict[str, Floats]) -> Pairs:
    """RAVDESS takes whose sound is among `paths` (path below the data folder -> logits of our voice head).

    Raises:
        NotFoundError: the pairs are not there.
    """
    rows = [row for row in read_table(data / "av" / "ravdess_paired.csv") if row["audio_path"] in paths]
    face = np.full((len(rows), len(EMOTIONS)), 0.0)
    for column, emotion in _FACE_COLUMNS:
        face[:, EMOTIONS.index(emotion)] += [float(row[f"{FACE_MODEL}_{column}"]) for row in rows]
    truth = np.eye(len(EMOTIONS))[[EMOTIONS.index(row["label"]) for row in rows]]
    allowed = np.isin(np.arange(len(EMOTIONS)), [EMOTIONS.index(emotion) for _, emotion in _FACE_COLUMNS])
    voice = np.log(softmax(np.where(allowed, np.stack([paths[row["audio_path"]] for row in rows]), -1e9)) + _LEAST)
    held = np.array([row["split"] != "train" for row in rows])
    return Pairs(voice, np.log(face + _LEAST).astype(np.float32), truth.astype(np.float32), allowed, held)


def read_votes(data: Path) -> Pairs:
    """CREMA-D: shares of the votes, one added to each count.

    Raises:
        NotFoundError: the votes are not there.
    """
    rows = list(read_table(data / "av" / "cremad_votes.csv"))
    allowed = np.isin(np.arange(len(EMOTIONS)), [EMOTIONS.index(emotion) for _, emotion in _VOTES])

    def shares(channel: str, added: float) -> Floats:
        counts = np.zeros((len(rows), len(EMOTIONS)))
        for letter, emotion in _VOTES:
            counts[:, EMOTIONS.index(emotion)] = [float(row[f"{channel}_{letter}"]) + added for row in rows]
        found: Floats = (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-9)).astype(np.float32)
        return found

    held = np.array([row["split"] != "train" for row in rows])
    return Pairs(
        np.log(shares("voice", 1) + _LEAST), np.log(shares("face", 1) + _LEAST), shares("av", 0), allowed, held
    )


def weigh(pairs: Pairs) -> Weights:
    """The weights with the least cross-entropy on the training part: of each alone and of both."""
    alone = [_least(pairs, columns)[0] for columns in ((pairs.voice,), (pairs.face,))]
    voice, face = _least(pairs, (pairs.voice, pairs.face))
    return Weights(alone[0], alone[1], voice, face)


def rows(what: str, corpus: str, pairs: Pairs, weights: Weights) -> list[Row]:
    """Scores on the held part of each alone and of both (of votes: against the label that most saw and heard)."""
    held = pairs.held
    truth, known = pairs.truth[held].argmax(axis=1), pairs.truth[~held].argmax(axis=1)
    return [
        Row(
            what,
            modalities,
            corpus,
            score(voice * pairs.voice[held] + face * pairs.face[held], truth, known, pairs.allowed),
        )
        for modalities, voice, face in (
            ("audio", weights.voice_alone, 0.0),
            ("video", 0.0, weights.face_alone),
            ("audio+video", weights.voice, weights.face),
        )
    ]


def _least(pairs: Pairs, experts: tuple[Floats, ...]) -> list[float]:
    rows = ~pairs.held

    def entropy(weights: NDArray[np.float64]) -> float:
        logits = sum(float(weight) * expert[rows] for weight, expert in zip(weights, experts, strict=True))
        shares = softmax(np.where(pairs.allowed, logits, -1e9))
        return float(-(pairs.truth[rows] * np.log(shares + 1e-9)).sum(axis=1).mean())

    return [float(weight) for weight in minimize(entropy, np.full(len(experts), 0.5), method="Nelder-Mead").x]
