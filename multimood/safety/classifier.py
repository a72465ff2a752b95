"""A small linear classifier of crisis language: it sees wordings that no rule foresaw.

Logistic regression on hashed word 1-3-grams and character 3-5-grams, per window of up to three sentences:
    p = sigmoid(S / sqrt(N) + bias)
with S the sum of the weights of the window's n-grams (each once per sentence) and N their number. Because S and N
add up over sentences, all windows are scored at the cost of reading the text once, and more text never scores lower.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from multimood.errors import ConfigurationError
from multimood.safety.normalise import END, MARKS
from multimood.safety.weights import Arrays, read_weights

ASSET: Final = "crisis.npz"
HIDDEN: Final = "_"
"""Stands for a word that the rules explained away; no n-gram spans it."""
WINDOW: Final = 3
MOST_WORDS: Final = 40
"""A longer sentence is read in pieces of so many words."""
LEAST_WORDS: Final = 3
"""Shorter windows are left to the rules."""
_HALF_PIECE: Final = MOST_WORDS // 2
_WORD: Final = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Probabilities from which on the classifier by itself means a level."""

    low: float
    elevated: float


def sentences(tokens: Sequence[str]) -> list[list[str]]:
    """Split into the words of each sentence, without punctuation; very long ones in overlapping pieces."""
    result: list[list[str]] = []
    words: list[str] = []
    for token in (*tokens, END):
        if token not in MARKS:
            words.append(_WORD.sub("0", token))
        elif token == END and words:
            result.extend(words[at : at + MOST_WORDS] for at in range(0, max(1, len(words) - _HALF_PIECE), _HALF_PIECE))
            words = []
    return result


def ngrams(words: Sequence[str], buckets: int) -> NDArray[np.int64]:
    """Distinct hashed n-grams of one sentence, int64 [n], each in 0..buckets-1 (a power of two)."""
    return np.fromiter({crc32(gram.encode()) & (buckets - 1) for gram in _grams(words)}, np.int64)


def _grams(words: Sequence[str]) -> Iterator[str]:
    for at, word in enumerate(words):
        if word == HIDDEN:
            continue
        yield word
        if at and words[at - 1] != HIDDEN:
            pair = f"{words[at - 1]} {word}"
            yield pair
            if at > 1 and words[at - 2] != HIDDEN:
                yield f"{words[at - 2]} {pair}"
        padded = f"<{word[:24]}>"
        for size in (3, 4, 5):
            for start in range(len(padded) - size + 1):
                yield padded[start : start + size]


class Classifier:
    """Trained weights and the thresholds chosen with them."""

    def __init__(self, weights: NDArray[np.float32], bias: float, thresholds: Thresholds, version: str) -> None:
        """`weights`: float32 [buckets], a power of two of them."""
        self._weights = weights
        self._bias = bias
        self.thresholds: Final = thresholds
        self.version: Final = version

    @classmethod
    def load(cls, path: Path | None = None) -> "Classifier":
        """Read the shipped weights, or an operator's own (made by `multimood train crisis`).

        Raises:
            ConfigurationError: the file cannot be read or is not such weights.
        """
        (weights, bias, low, elevated), version = read_weights("crisis", path, "crisis classifier", _stored)
        if (
            weights.ndim != 1
            or weights.size & (weights.size - 1)
            or not np.isfinite(weights).all()
            or not low <= elevated
        ):
            raise ConfigurationError(
                f"{path or ASSET} holds weights of shape {weights.shape}, thresholds {low}, {elevated}: broken"
            )
        return cls(weights, bias, Thresholds(low, elevated), version)

    def score(self, tokens: Sequence[str]) -> float:
        """Highest probability of crisis language over all windows of the text, 0..1."""
        parts: list[tuple[float, int, int]] = []
        for words in sentences(tokens):
            found = ngrams(words, self._weights.size)
            parts.append((float(self._weights[found].sum()), found.size, len(words) - words.count(HIDDEN)))
        best = -math.inf
        for start in range(len(parts)):
            total, count, words_seen = 0.0, 0, 0
            for part_sum, part_count, part_words in parts[start : start + WINDOW]:
                total, count, words_seen = total + part_sum, count + part_count, words_seen + part_words
                if words_seen >= LEAST_WORDS and count:
                    best = max(best, total / math.sqrt(count))
        return 0.0 if best == -math.inf else 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, best + self._bias))))


def _stored(arrays: Arrays) -> tuple[NDArray[np.float32], float, float, float]:
    bias, low, elevated = (float(arrays[name]) for name in ("bias", "low", "elevated"))
    return arrays["weights"].astype(np.float32), bias, low, elevated
