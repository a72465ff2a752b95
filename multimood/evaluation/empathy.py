"""Replies through the trust score's empathy judge: its levels, by mechanism."""

import hashlib
from collections.abc import Sequence
from typing import Final

from multimood import assets
from multimood.evaluation.answers import Prediction
from multimood.evaluation.encode import Encoded, Vector
from multimood.evaluation.rows import Output, Seen
from multimood.trust.empathy import ASSET, MECHANISMS, EmpathyHead

LEVELS: Final = ("0", "1", "2")
OUTPUTS: Final[tuple[Output, ...]] = ("emotional reactions", "interpretations", "explorations")
assert OUTPUTS == MECHANISMS


def load() -> tuple[EmpathyHead, str]:
    """The shipped head, and the SHA-256 of its file."""
    return EmpathyHead.load(), hashlib.sha256(assets.read(ASSET, None)).hexdigest()


def judge(head: EmpathyHead, dialogue: Sequence[Seen], encoded: Encoded) -> list[Prediction | None]:
    """Levels of every reply that has words, beside the person's words before it; None at the other rows."""
    found: list[Prediction | None] = []
    person: Vector | None = None
    for seen in dialogue:
        vector = encoded.vectors.get(("text", seen.text))
        if seen.role == "user":
            person, vector = vector, None
        found.append(None if person is None or vector is None else _levels(head, person, vector))
    return found


def _levels(head: EmpathyHead, person: Vector, reply: Vector) -> Prediction:
    levels = head.levels(person.reshape(1, -1), reply.reshape(1, -1))[0]
    return {
        name: dict(zip(LEVELS, map(float, shares), strict=True)) for name, shares in zip(OUTPUTS, levels, strict=True)
    }
