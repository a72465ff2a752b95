"""Train the quality head on AnnoMI (Wu et al., ICASSP 2022): a logistic regression on frozen embeddings.

Utterances of a session weigh together as much as the session does, and sessions of both qualities weigh the same. Of
the validation part (every fifth video of each quality) nothing is learned and nothing chosen. It is small, so all
videos are also gone through by cross-validation, the strength of regularisation being chosen anew within each fold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from multimood.evaluation import metrics
from multimood.evaluation.corpora.annomi import QUALITIES, held_back, read_sessions
from multimood.evaluation.source import Source
from multimood.training.card import write_card
from multimood.training.encoders import Places, Report, embed_texts
from multimood.trust.quality import QualityHead

EDITION: Final = "2026.11"
STRENGTHS: Final = (0.3, 1.0, 3.0, 10.0, 30.0)
FOLDS: Final = 5

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Said:
    """What supporters said, n utterances of m sessions: `x` float32 [n, d], `session` int64 [n].

    By session: `good` int64 [m], `video` [m] (which nothing may be learned across), `held` bool [m].
    """

    x: Floats
    session: Ints
    good: Ints
    video: NDArray[np.str_]
    held: NDArray[np.bool_]

    def of(self, sessions: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The utterances of some sessions, bool [n]."""
        return sessions[self.session]

    def mean(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """By session [m], from one number an utterance [n]; 0 where the supporter said nothing."""
        count = np.bincount(self.session, minlength=len(self.good))
        sums = np.bincount(self.session, weights=logits, minlength=len(self.good))
        return sums / np.maximum(count, 1)


def train(data: Path, out: Path, seed: int, places: Places, report: Report) -> dict[str, Any]:
    """Train, write `quality.npz` and `quality.md` below `out`, and return what was measured.

    Raises:
        NotFoundError: the data set, the encoder's graph or the tokenizer is not there.
        ConfigurationError: the data set is another one.
    """
    said = read_said(data, places, report)
    strength = choose(said, ~said.held, seed)
    model = fit(said, ~said.held, strength)
    out.mkdir(parents=True, exist_ok=True)
    target = out / "quality.npz"
    np.savez_compressed(
        target,
        weights=model.coef_[0].astype(np.float32),
        bias=np.float32(model.intercept_[0]),
        worth=worth(said, ~said.held, strength, seed),
        edition=np.str_(EDITION),
    )
    head = QualityHead.load(target)
    everywhere = np.ones(len(said.good), bool)
    report("cross-validation over all sessions")
    result: dict[str, Any] = {
        "version": head.version,
        "strength chosen by cross-validation": strength,
        "Validation part": figures(said, head.logits(said.x), said.held),
        "All sessions, cross-validated": figures(said, _unseen(said, seed), everywhere),
    }
    write_card(out / "quality.md", "Quality head", _ABOUT, result)
    return result


def read_said(data: Path, places: Places, report: Report) -> Said:
    """Every supporter's utterance that has words, embedded."""
    sessions = read_sessions(Source(data, "all"))
    held = held_back(sessions)
    texts, owners = [], []
    for number, session in enumerate(sessions):
        words = [row.seen.text for row in session.rows if row.seen.role == "system" and row.seen.text.strip()]
        texts += words
        owners += [number] * len(words)
    return Said(
        embed_texts(places, texts, report),
        np.array(owners, np.int64),
        np.array([session.quality == "high" for session in sessions], np.int64),
        np.array([session.video for session in sessions]),
        np.array([session.video in held for session in sessions]),
    )


def fit(said: Said, sessions: NDArray[np.bool_], strength: float) -> Any:
    """Learn from some sessions."""
    rows = said.of(sessions)
    return LogisticRegression(C=strength, max_iter=2_000).fit(
        said.x[rows], said.good[said.session[rows]], sample_weight=_weights(said, rows)
    )


def choose(said: Said, sessions: NDArray[np.bool_], seed: int) -> float:
    """The strength with the best AUC over sessions, cross-validated within these."""
    scores = {strength: _auc(said, _folded(said, sessions, strength, seed), sessions) for strength in STRENGTHS}
    return max(STRENGTHS, key=lambda strength: scores[strength])


def worth(said: Said, sessions: NDArray[np.bool_], strength: float, seed: int) -> Floats:
    """Slope and offset, float32 [2], that make of an utterance's logit that of its session (Platt's scaling).

    Learned from logits of a model that had not seen the session.
    """
    rows = said.of(sessions)
    logits = _folded(said, sessions, strength, seed)[rows].reshape(-1, 1)
    model = LogisticRegression(C=np.inf).fit(logits, said.good[said.session[rows]], sample_weight=_weights(said, rows))
    return np.array([model.coef_[0, 0], model.intercept_[0]], np.float32)


def figures(said: Said, logits: NDArray[np.floating], sessions: NDArray[np.bool_]) -> dict[str, Any]:
    """What is known of predictions on some sessions, each beside always saying the more frequent quality."""
    mean, truth, groups = said.mean(logits)[sessions], said.good[sessions], said.video[sessions].tolist()
    shares = _shares(mean)
    score = metrics.score(shares, 1 - truth, groups, QUALITIES)
    auc, interval = metrics.auc(mean, truth, groups)
    rows = said.of(sessions)
    by_row = said.good[said.session[rows]]
    by_row_auc, by_row_interval = metrics.auc(
        logits[rows].astype(np.float64), by_row, said.video[said.session[rows]].tolist()
    )
    return {
        "sessions (of high quality)": f"{len(truth)} ({int(truth.sum())})",
        "AUC of sessions": auc,
        "AUC of sessions, 95 % over videos": interval,
        "macro F1 of sessions (majority)": (score["macro_f1"], score["majority"]["macro_f1"]),
        "macro F1 of sessions, 95 % over videos": tuple(score["interval"]),
        "accuracy of sessions (majority)": (score["accuracy"], score["majority"]["accuracy"]),
        "utterances": int(rows.sum()),
        "AUC of utterances": by_row_auc,
        "AUC of utterances, 95 % over videos": by_row_interval,
    }


def _shares(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    high = 1 / (1 + np.exp(-logits))
    return np.stack([high, 1 - high], axis=1)


def _unseen(said: Said, seed: int) -> NDArray[np.float64]:
    """Logits [n] of every utterance by a model that saw no session of its video, not even to choose the strength."""
    every = np.ones(len(said.good), bool)
    found = np.zeros(len(said.session))
    for known, asked in _folds(said, every, seed):
        rows = said.of(asked)
        found[rows] = fit(said, known, choose(said, known, seed)).decision_function(said.x[rows])
    return found


def _folded(said: Said, sessions: NDArray[np.bool_], strength: float, seed: int) -> NDArray[np.float64]:
    found = np.zeros(len(said.session))
    for known, asked in _folds(said, sessions, seed):
        rows = said.of(asked)
        found[rows] = fit(said, known, strength).decision_function(said.x[rows])
    return found


def _folds(said: Said, sessions: NDArray[np.bool_], seed: int) -> Sequence[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    places = np.flatnonzero(sessions)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    found = []
    for known, asked in folds.split(places, said.good[places], said.video[places]):
        masks = np.zeros((2, len(sessions)), bool)
        masks[0, places[known]] = masks[1, places[asked]] = True
        found.append((masks[0], masks[1]))
    return found


def _auc(said: Said, logits: NDArray[np.float64], sessions: NDArray[np.bool_]) -> float:
    return float(roc_auc_score(said.good[sessions], said.mean(logits)[sessions]))


def _weights(said: Said, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of utterances, with mean 1: each session alike, then each quality alike."""
    owners, good = said.session[rows], said.good[said.session[rows]]
    weights = 1 / np.bincount(owners)[owners]
    for quality in (0, 1):
        weights[good == quality] /= weights[good == quality].sum()
    found: NDArray[np.float64] = weights / weights.mean()
    return found


_ABOUT: Final = """\
Judges whether what a supporter says sounds like a session that experts of motivational interviewing call a good
example, or a bad one. Logistic regression on the embedding of the words (all-mpnet-base-v2, adapted: the Triton model
`text_encoder`). Run with numpy alone.

Trained on AnnoMI's transcripts of demonstration sessions (research use): the weights carry that restriction; `multimood
train quality` repeats the training on your own data. English. The quality is a session's, and a single utterance tells
little of it: the AUC of utterances says how much. A bad example is often played as one, so that it is easier to tell
than the faults of people who mean well. What the person said before was tried as well, and did not help.
"""
