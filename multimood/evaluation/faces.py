"""Where the picture itself is not at hand: how others' reading of a face joins the served model's of the voice."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from multimood.evaluation.rows import FaceEvidence
from multimood.taxonomy import EMOTIONS

VOICE: Final = 2.427
FACE: Final = 0.5231
"""Weights of the two by the fusion model's card (`multimood train fusion`, RAVDESS pairs, training part): 0.9658 for
the voice head's own log-probabilities, which the served model divides by 2.513 for speakers of unknown corpora."""
LEAST: Final = 1e-4


def with_face(emotion: Mapping[str, float] | None, face: FaceEvidence) -> dict[str, float]:
    """The person's emotion by the served model (None: it had nothing to go by) and by the face, over EMOTIONS.

    A log-linear opinion pool (Genest and Zidek 1986), the rule that the fusion model combines voice and face by. A
    fusion model that takes the evidence itself (`face.shares`, `face.units`) replaces this function.
    """
    seen = np.log(np.array([face.shares.get(label, 0.0) for label in EMOTIONS]) + LEAST)
    total = FACE * seen
    if emotion is None:
        total = seen
    else:
        total += VOICE * np.log(np.array([emotion.get(label, 0.0) for label in EMOTIONS]) + LEAST)
    raised = np.exp(total - total.max())
    return {label: float(share) for label, share in zip(EMOTIONS, raised / raised.sum(), strict=True)}
