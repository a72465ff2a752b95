"""What the fusion model is told of the turns before the one at hand. Pure.

Training and serving build it here, so that the model is served what it was trained on. For each of the last TURNS
turns, the latest last: the vector of its words, and 20 marks: whose it was (own, others), how the person felt in it
(8), and what the system did in it (10). Turns that were not are zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from multimood.taxonomy import EMOTIONS, ESCONV_STRATEGIES, MESC_STRATEGIES

Vector = NDArray[np.float32]

TURNS: Final = 12
WIDTH: Final = 384
"""Of the words' vectors, as the shipped text encoder gives them."""
OWN: Final = 1
OTHERS: Final = 2
FELT: Final = slice(2, 2 + len(EMOTIONS))
DONE: Final = slice(FELT.stop, FELT.stop + len(MESC_STRATEGIES))
MARKS: Final = DONE.stop
MOST_STEPS: Final = 20
"""Later turns count as this one."""

ESCONV_AS_MESC: Final = MappingProxyType(
    {
        "question": "open question",
        "restatement or paraphrasing": "restatement",
        "reflection of feelings": "interpretation",
        "self-disclosure": "self-disclosure",
        "affirmation and reassurance": "approval",
        "providing suggestions": "advisement",
        "information": "communication skills",
        "others": "others",
    }
)
"""Which of the ten places an ESConv strategy takes: the closest in meaning, and no place taken twice, so that nothing
is lost. ("Information" has no counterpart in MESC; its place is one that is left.)"""

PLACE: Final = MappingProxyType(
    {name: place for place, name in enumerate(MESC_STRATEGIES)}
    | {name: MESC_STRATEGIES.index(ESCONV_AS_MESC[name]) for name in ESCONV_STRATEGIES}
)


@dataclass(frozen=True, slots=True)
class PastTurn:
    """A turn that was: `own` of the person at hand, else of whoever answers.

    `vector` are its words (float32 [width]; None: there were none, or they are not known), `felt` the person's emotion
    by label, `done` the system's strategy in either taxonomy; empty where not known.
    """

    own: bool
    vector: Vector | None = None
    felt: Mapping[str, float] = field(default_factory=dict)
    done: str = ""


class History(NamedTuple):
    """The model's inputs: past float32 [TURNS, width], marks float32 [TURNS, MARKS], step float32 [1]."""

    past: Vector
    marks: Vector
    step: Vector


def history(turns: Sequence[PastTurn], step: int, width: int = WIDTH) -> History:
    """Describe what was before; `step` is the number of the person's present turn, from 0.

    A vector that is not `width` wide is of another encoder than the present one, and not known.

    Raises:
        ValueError: an unknown emotion or strategy.
    """
    past, marks = np.zeros((TURNS, width), np.float32), np.zeros((TURNS, MARKS), np.float32)
    kept = turns[-TURNS:]
    for place, turn in enumerate(kept, TURNS - len(kept)):
        marks[place, (OWN if turn.own else OTHERS) - 1] = 1
        if turn.vector is not None and len(turn.vector) == width:
            past[place] = turn.vector
        for label, probability in turn.felt.items():
            if label not in EMOTIONS:
                raise ValueError(f"no such emotion: {label}; known are {', '.join(EMOTIONS)}")
            marks[place, FELT.start + EMOTIONS.index(label)] = probability
        if turn.done:
            if turn.done not in PLACE:
                raise ValueError(f"no such strategy: {turn.done}; known are {', '.join(PLACE)}")
            marks[place, DONE.start + PLACE[turn.done]] = 1
    return History(past, marks, np.array([pace(step)], np.float32))


def pace(step: int) -> float:
    """How far the conversation has come, 0..1."""
    return min(step, MOST_STEPS) / MOST_STEPS
