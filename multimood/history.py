"""What the fusion model is told of the conversation so far: a vector of 20 numbers. Pure.

Training and serving build it here, so that the model is served what it was trained on.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from multimood.taxonomy import EMOTIONS, ESCONV_STRATEGIES, MESC_STRATEGIES

SIZE: Final = len(EMOTIONS) + len(MESC_STRATEGIES) + 2
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

_PLACE: Final = MappingProxyType(
    {name: place for place, name in enumerate(MESC_STRATEGIES)}
    | {name: MESC_STRATEGIES.index(ESCONV_AS_MESC[name]) for name in ESCONV_STRATEGIES}
)


def history_vector(emotion: Mapping[str, float], strategy: str, step: int, *, previous: bool) -> NDArray[np.float32]:
    """Describe the turns before this one: float32 [20].

    `emotion` is the fused distribution of the person's previous turn (empty: nothing was perceived), `strategy` what
    was chosen after it, in either taxonomy (empty: a vetted reply was sent), `step` the number of the present turn,
    from 0, and `previous` whether there was one before it.
    Layout: 8 emotions, one-hot of 10 strategies, min(step, 20) / 20, `previous`.

    Raises:
        ValueError: an unknown emotion or strategy.
    """
    vector = np.zeros(SIZE, np.float32)
    vector[-2] = min(step, MOST_STEPS) / MOST_STEPS
    if not previous:
        return vector
    vector[-1] = 1.0
    for label, probability in emotion.items():
        if label not in EMOTIONS:
            raise ValueError(f"no such emotion: {label}; known are {', '.join(EMOTIONS)}")
        vector[EMOTIONS.index(label)] = probability
    if strategy:
        if strategy not in _PLACE:
            raise ValueError(f"no such strategy: {strategy}; known are {', '.join(_PLACE)}")
        vector[len(EMOTIONS) + _PLACE[strategy]] = 1.0
    return vector
