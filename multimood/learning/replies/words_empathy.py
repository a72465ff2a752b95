"""A judge of empathy by words alone: it shares neither encoder nor weights with any judge that trains.

EPITOME's three mechanisms again, each a logistic regression on TF-IDF of the reply's words and pairs of words. It is
fitted anew where replies are graded, in a second, and says how well it does on EPITOME's validation part beside always
the most frequent level. A reply that pleases the encoder's directions and says nothing will not please this one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline

from multimood.evaluation.corpora import corpora
from multimood.evaluation.source import Source
from multimood.trust.case import TrustCase, scaled

COLUMNS: Final = ("er", "ip", "ex")
LEVELS: Final = 3
FEWEST: Final = 2
"""Replies that a word must be in."""


class WordsEmpathyJudge:
    """Scores `empathy` by the reply's words: 1 - prod(1 - expected level / 2), as the shipped judge joins them."""

    name = "empathy-words"
    version = "words-1"
    criteria: Sequence[str] = ("empathy",)

    def __init__(self, models: Sequence[Any], macro_f1: Mapping[str, Mapping[str, float]]) -> None:
        """See `fit`."""
        self._models = models
        self.macro_f1: Final = macro_f1
        """Per mechanism, on the validation part: its own and that of the most frequent level."""

    @classmethod
    def fit(cls, data: Path) -> "WordsEmpathyJudge":
        """From EPITOME below `data`. Raises NotFoundError when it is not there."""
        replies, levels = _read(data, "train")
        held, truth = _read(data, "val")
        models, figures = [], {}
        for number, name in enumerate(COLUMNS):
            model = make_pipeline(
                TfidfVectorizer(ngram_range=(1, 2), min_df=FEWEST, sublinear_tf=True),
                LogisticRegression(C=3.0, class_weight="balanced", max_iter=1_000),
            )
            model.fit(replies, levels[:, number])
            models.append(model)
            usual = np.full(len(held), np.bincount(levels[:, number]).argmax())
            figures[name] = {
                "macro_f1": float(f1_score(truth[:, number], model.predict(held), average="macro")),
                "majority": float(f1_score(truth[:, number], usual, average="macro")),
            }
        return cls(models, figures)

    async def score(self, case: TrustCase) -> Mapping[str, float]:
        """Score `empathy`; nothing when there is no reply."""
        if not case.reply.strip():
            return {}
        worth = np.arange(LEVELS) / (LEVELS - 1)
        missing = [1.0 - float(model.predict_proba([case.reply])[0] @ worth) for model in self._models]
        return {"empathy": scaled(1.0 - float(np.prod(missing)))}


def _read(data: Path, split: str) -> tuple[list[str], NDArray[np.int64]]:
    part = corpora()["epitome"].read(Source(data, split))[0]
    rows = [dialogue.rows[1] for dialogue in part.dialogues]
    known = [row for row in rows if all(name in row.truth for name in COLUMNS)]
    return [row.seen.text for row in known], np.array([[int(row.truth[name]) for name in COLUMNS] for row in known])
