"""How close a reply comes to a reference, after MultiMood's reward (Le et al., AAAI-26, equations 5 to 7).

    r_sim = (late interaction + 0.3 sparse + 1.0 dense) / 2.3,    each of the three in 0..1

The text encoder gives one vector a text, so late interaction (ColBERT: Khattab and Zaharia, SIGIR 2020) is over windows
of four words, not over tokens: the mean of each window's best cosine in the other text. It is taken both ways and
averaged: one way alone, a reply of a single fitting word would be perfect. Sparse is the cosine of TF-IDF vectors
(scikit-learn, `TfidfVectorizer`, over the references), dense that of the whole texts. Negative cosines count as 0.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from multimood.trust.case import Embed

SPARSE: Final = 0.3
DENSE: Final = 1.0
WINDOW: Final = 4
STEP: Final = 2
MOST_WINDOWS: Final = 64

_WORD: Final = re.compile(r"\w+")

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Similarity:
    """The three parts, each 0..1."""

    late: float
    sparse: float
    dense: float

    @property
    def total(self) -> float:
        """What enters the reward: 0..1, 1 for equal texts."""
        return (self.late + SPARSE * self.sparse + DENSE * self.dense) / (1 + SPARSE + DENSE)


class SimilarityScorer:
    """Compares replies with references. Needs scikit-learn (the `eval` extra): live traffic has no references."""

    def __init__(self, embed: Embed, references: Sequence[str]) -> None:
        """`references` are those to come, or others like them: they say which words are rare.

        Raises:
            ValueError: there is no word in any of them.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 - offline only

        self._embed = embed
        # Every word counts, of one letter too: the usual pattern leaves out "I".
        self._words: Any = TfidfVectorizer(sublinear_tf=True, tokenizer=_WORD.findall, token_pattern=None)
        self._words.fit(references)

    async def score(self, reply: str, reference: str) -> Similarity:
        """Compare; all is 0 when one of the two holds no word.

        Raises:
            UnavailableError: from `embed`.
        """
        if not reply.split() or not reference.split():
            return Similarity(0.0, 0.0, 0.0)
        ours, theirs = windows(reply), windows(reference)
        vectors = _unit(await self._embed([reply, reference, *ours, *theirs]))
        split = 2 + len(ours)
        return Similarity(
            late_interaction(vectors[2:split], vectors[split:]),
            self._sparse(reply, reference),
            _share(float(vectors[0] @ vectors[1])),
        )

    def _sparse(self, reply: str, reference: str) -> float:
        one, other = self._words.transform([reply, reference]).toarray()
        return _share(float(one @ other))


def windows(text: str) -> list[str]:
    """Overlapping windows of four words, every second one; at most 64 of them, then wider ones."""
    words = text.split()
    step = max(STEP, -(-len(words) // MOST_WINDOWS))
    size = max(WINDOW, 2 * step)
    return [" ".join(words[at : at + size]) for at in range(0, max(1, len(words) - size + step), step)]


def late_interaction(one: Floats, other: Floats) -> float:
    """Unit vectors float32 [n, d] and [m, d]: the mean of each one's best cosine on the other side, averaged: 0..1."""
    cosines = np.clip(one @ other.T, 0.0, 1.0)
    return float((cosines.max(axis=1).mean() + cosines.max(axis=0).mean()) / 2)


def _unit(vectors: Floats) -> Floats:
    found: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    return found


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))
