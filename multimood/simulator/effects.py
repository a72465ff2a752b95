"""What each strategy does to a seeker: the simulator's truth, made up to be plain and not to be flattering.

Exploring and understanding build trust and readiness and relieve little by themselves. Advice relieves those who are
ready and trust, and hurts those who are not: what ESConv's stages (Liu et al., ACL 2021) say of order. What pushes is
paid for by the resistant. Numbers are changes on a scale of 0..1 in one turn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from multimood.ope.log import FORCED, Floats


@dataclass(frozen=True, slots=True)
class Effect:
    """Of one strategy."""

    relief: float
    """Of distress, whatever the state."""
    heard: float
    """Further relief for each unit of alliance."""
    ready: float
    """Further relief for each unit of readiness above one half."""
    push: float
    """What resistance makes of it: lost relief, and half as much lost alliance."""
    bond: float
    """Growth of alliance."""
    opens: float
    """Growth of readiness, for an open seeker."""


EFFECTS: Final[Mapping[str, Effect]] = MappingProxyType(
    {
        "open question": Effect(0.00, 0.02, -0.04, 0.02, 0.06, 0.30),
        "question": Effect(0.00, 0.02, -0.04, 0.02, 0.06, 0.30),
        "restatement": Effect(0.01, 0.02, -0.05, 0.00, 0.10, 0.12),
        "restatement or paraphrasing": Effect(0.01, 0.02, -0.05, 0.00, 0.10, 0.12),
        "reflection of feelings": Effect(0.02, 0.02, -0.05, 0.00, 0.10, 0.10),
        "approval": Effect(0.02, 0.03, 0.00, 0.01, 0.06, 0.02),
        "affirmation and reassurance": Effect(0.02, 0.03, 0.00, 0.01, 0.06, 0.02),
        "self-disclosure": Effect(0.01, 0.05, 0.00, 0.04, 0.03, 0.03),
        "interpretation": Effect(-0.03, 0.12, 0.04, 0.12, 0.00, 0.12),
        "advisement": Effect(0.00, 0.06, 0.45, 0.18, -0.02, 0.00),
        "providing suggestions": Effect(0.00, 0.06, 0.45, 0.18, -0.02, 0.00),
        "information": Effect(0.00, 0.04, 0.25, 0.10, 0.00, 0.01),
        "communication skills": Effect(0.00, 0.05, 0.28, 0.12, 0.00, 0.04),
        "structuring the therapy": Effect(-0.01, 0.04, 0.10, 0.10, 0.00, 0.15),
        "guiding the pace and depth of the conversation": Effect(0.02, 0.03, 0.02, 0.04, 0.03, 0.08),
        "others": Effect(0.00, 0.00, 0.00, 0.00, 0.00, 0.00),
        FORCED: Effect(0.02, 0.02, 0.00, 0.00, 0.02, 0.00),
    }
)
"""A vetted reply (`FORCED`) is kind and says little."""


def table(actions: Sequence[str]) -> Floats:
    """[k, 6]: the effects of `actions`, columns as the fields of `Effect`."""
    rows = [EFFECTS[name] for name in actions]
    return np.array([[e.relief, e.heard, e.ready, e.push, e.bond, e.opens] for e in rows])
