"""Empathy after EPITOME (Sharma et al., EMNLP 2020): emotional reactions, interpretations, explorations, each 0..2.

A linear head on sentence embeddings s (what the person said) and r (the reply): features [r, s*r, |s-r|], a softmax
over the three levels per mechanism. The score is 1 - prod(1 - expected level / 2): strength in one mechanism counts,
the others add.
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

ASSET: Final = "empathy.npz"
MECHANISMS: Final = ("emotional reactions", "interpretations", "explorations")
LEVELS: Final = 3

Floats = NDArray[np.float32]


def features(seeker: Floats, response: Floats) -> Floats:
    """[r, s*r, |s-r|]: float32 [n, d] twice -> float32 [n, 3d]."""
    return np.concatenate([response, seeker * response, np.abs(seeker - response)], axis=1)


class EmpathyHead:
    """Trained weights: float32 [3 mechanisms, 3 levels, 3d] and biases [3, 3]."""

    def __init__(self, weights: Floats, biases: Floats, version: str) -> None:
        """See `load`."""
        self._weights = weights
        self._biases = biases
        self.version: Final = version

    @classmethod
    def load(cls, path: Path | None = None) -> "EmpathyHead":
        """Read the shipped head, or one made by `multimood train empathy`.

        Raises:
            ConfigurationError: the file cannot be read or is not such a head.
        """
        raw = assets.read(ASSET, path)
        try:
            with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
                weights, biases = arrays["weights"].astype(np.float32), arrays["biases"].astype(np.float32)
                edition = str(arrays["edition"])
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ConfigurationError(
                f"{path or ASSET} holds no empathy head: make one with `multimood train empathy`"
            ) from error
        if weights.shape[:2] != (len(MECHANISMS), LEVELS) or biases.shape != weights.shape[:2] or weights.shape[2] % 3:
            raise ConfigurationError(f"{path or ASSET} holds weights of shape {weights.shape}: they must be [3, 3, 3d]")
        return cls(weights, biases, assets.version("empathy", edition, raw))

    @property
    def width(self) -> int:
        """Length d of the embeddings that the head was trained on."""
        return int(self._weights.shape[2]) // 3

    def levels(self, seeker: Floats, response: Floats) -> Floats:
        """Probabilities of the levels: embeddings float32 [n, d] twice -> float32 [n, 3 mechanisms, 3 levels]."""
        return self.levels_of(features(seeker, response))

    def levels_of(self, x: Floats) -> Floats:
        """Do the same from `features`: float32 [n, 3d] -> float32 [n, 3 mechanisms, 3 levels]."""
        logits = np.einsum("nf,mlf->nml", x, self._weights) + self._biases
        raised = np.exp(logits - logits.max(axis=2, keepdims=True))
        probabilities: Floats = raised / raised.sum(axis=2, keepdims=True)
        return probabilities

    def goodness(self, seeker: Floats, response: Floats) -> Floats:
        """Overall empathy 0..1, float32 [n]."""
        expected = self.levels(seeker, response) @ np.array([0.0, 0.5, 1.0], np.float32)
        result: Floats = 1.0 - np.prod(1.0 - expected, axis=1)
        return result


class EmpathyJudge:
    """Scores `empathy` with the head; the embeddings are handed in, so that this knows no model server."""

    name = "empathy-epitome"
    criteria: Sequence[str] = ("empathy",)

    def __init__(self, head: EmpathyHead, embed: Embed) -> None:
        """`embed` must be the encoder that the head was trained on (see its card)."""
        self._head = head
        self._embed = embed
        self.version = head.version

    async def score(self, case: TrustCase) -> Mapping[str, float]:
        """Score `empathy`; nothing when there is no turn to answer or no reply.

        Raises:
            ConfigurationError: the embeddings have another length than the head was trained on.
            UnavailableError: from `embed`.
        """
        vectors = await embedded(case, self._embed, self._head.width)
        return {} if vectors is None else {"empathy": scaled(float(self._head.goodness(vectors[:1], vectors[1:])[0]))}
