"""Counselling quality after AnnoMI (Wu et al., ICASSP 2022): whether a reply sounds like a good session.

A logistic regression on the sentence embedding of what the supporter says. It learned from sessions that experts called
a good or a bad example, an utterance counting as much as its session does. A session's logit is the mean over what the
supporter said in it. One utterance alone tells little of it: what its logit is worth was learned on sessions that the
head had not seen, so the score of a reply stays near the middle. It stands for `reliability`: it is about how a
supporter goes along with a person, asks, reflects and encourages (docs/decisions says why not more).
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from multimood import assets
from multimood.errors import ConfigurationError
from multimood.trust.case import Embed, TrustCase, embedded, scaled

ASSET: Final = "quality.npz"

Floats = NDArray[np.float32]


class QualityHead:
    """Trained weights: float32 [d], and a bias. Positive logits speak for quality.

    `worth` are slope and offset that turn an utterance's logit into that of its session being good.
    """

    def __init__(self, weights: Floats, bias: float, worth: tuple[float, float], version: str) -> None:
        """See `load`."""
        self._weights = weights
        self._bias = bias
        self._worth = worth
        self.version: Final = version

    @classmethod
    def load(cls, path: Path | None = None) -> "QualityHead":
        """Read the shipped head, or one made by `multimood train quality`.

        Raises:
            ConfigurationError: the file cannot be read or is not such a head.
        """
        raw = assets.read(ASSET, path)
        try:
            with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
                weights, bias = arrays["weights"].astype(np.float32), float(arrays["bias"])
                slope, offset = map(float, arrays["worth"])
                edition = str(arrays["edition"])
        except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ConfigurationError(
                f"{path or ASSET} holds no quality head: make one with `multimood train quality`"
            ) from error
        if weights.ndim != 1 or not np.isfinite([*weights, bias, slope, offset]).all():
            raise ConfigurationError(
                f"{path or ASSET} holds weights of shape {weights.shape}: they must be finite, [d]"
            )
        return cls(weights, bias, (slope, offset), assets.version("quality", edition, raw))

    @property
    def width(self) -> int:
        """Length d of the embeddings that the head was trained on."""
        return int(self._weights.shape[0])

    def logits(self, replies: Floats) -> Floats:
        """Embeddings of what the supporter said, float32 [n, d] -> float32 [n]."""
        found: Floats = replies @ self._weights + np.float32(self._bias)
        return found

    def goodness(self, reply: Floats) -> float:
        """How likely one reply, float32 [d], is of a good session, where half of them are: 0..1."""
        slope, offset = self._worth
        return likelihood(slope * float(self.logits(reply.reshape(1, -1))[0]) + offset)


def likelihood(logit: float) -> float:
    """A logit as a probability, 0..1."""
    return float(1.0 / (1.0 + np.exp(-np.float64(logit))))


class QualityJudge:
    """Scores `reliability` with the head; the embeddings are handed in, so that this knows no model server."""

    name = "quality-annomi"
    criteria: Sequence[str] = ("reliability",)

    def __init__(self, head: QualityHead, embed: Embed) -> None:
        """`embed` must be the encoder that the head was trained on (see its card)."""
        self._head = head
        self._embed = embed
        self.version = head.version

    async def score(self, case: TrustCase) -> Mapping[str, float]:
        """Score `reliability`; nothing when there is no turn to answer or no reply.

        Raises:
            ConfigurationError: the embeddings have another length than the head was trained on.
            UnavailableError: from `embed`.
        """
        vectors = await embedded(case, self._embed, self._head.width)
        return {} if vectors is None else {"reliability": scaled(self._head.goodness(vectors[1]))}
