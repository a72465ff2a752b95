"""What supporters say through the trust score's judge of quality: by utterance, and by session."""

import hashlib
from collections.abc import Sequence

import numpy as np

from multimood import assets
from multimood.evaluation.answers import Prediction
from multimood.evaluation.encode import Encoded, Vector
from multimood.evaluation.rows import Output, Seen
from multimood.trust.quality import ASSET, QualityHead, likelihood


def load() -> tuple[QualityHead, str]:
    """The shipped head, and the SHA-256 of its file."""
    return QualityHead.load(), hashlib.sha256(assets.read(ASSET, None)).hexdigest()


def judge(head: QualityHead, dialogue: Sequence[Seen], encoded: Encoded) -> list[Prediction | None]:
    """The session's quality at its first row, an utterance's at each of the supporter's that has words."""
    logits = [_logit(head, seen, encoded.vectors.get(("text", seen.text))) for seen in dialogue]
    known = [logit for logit in logits if logit is not None]
    found: list[Prediction | None] = []
    for place, logit in enumerate(logits):
        said: dict[Output, dict[str, float]] = {}
        if logit is not None:
            said["utterance quality"] = _shares(logit)
        if not place and known:
            said["quality"] = _shares(float(np.mean(known)))
        found.append(said or None)
    return found


def _logit(head: QualityHead, seen: Seen, vector: Vector | None) -> float | None:
    return None if seen.role == "user" or vector is None else float(head.logits(vector.reshape(1, -1))[0])


def _shares(logit: float) -> dict[str, float]:
    high = likelihood(logit)
    return {"high": high, "low": 1 - high}
