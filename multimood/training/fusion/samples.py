"""Moments of dialogues: what is known at each, and what is to be said there.

A moment is a person's turn (how they feel, and what the supporter does next), or a supporter's turn after which they go
on (what they do next, from what was said before: there is no new utterance of the person).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from multimood.history import ESCONV_AS_MESC, OTHERS, OWN, TURNS
from multimood.taxonomy import CORPUS_EMOTIONS, EMOTIONS, ESCONV_STRATEGIES, MESC_STRATEGIES
from multimood.training.fusion.dialogues import Dialogue, Turn

Ints = NDArray[np.int64]
STRATEGIES: Final[Mapping[str, tuple[str, ...]]] = {
    "mesc": MESC_STRATEGIES, "esconv": ESCONV_STRATEGIES, "escot": ESCONV_STRATEGIES,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Moments:
    """n moments. Texts are places in a list of different texts, labels are indices; -1 where there is none.

    `past` and `role` are [n, TURNS], the latest turn last; `done` [n, TURNS] is the place, among MESC's strategies, of
    what a supporter's turn does. `allowed` bool [n, 8] are the emotions that the corpus knows. `follows`: nobody said
    anything since the last turn of the past.
    """

    protocol: NDArray[np.str_]
    group: NDArray[np.str_]
    held: NDArray[np.bool_]
    past: Ints
    role: Ints
    done: Ints
    current: Ints
    step: Ints
    allowed: NDArray[np.bool_]
    emotion: Ints
    strategy_mesc: Ints
    strategy_esconv: Ints
    system_emotion: Ints
    stage: Ints
    intensity: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.current)

    @property
    def follows(self) -> NDArray[np.bool_]:
        """Where a supporter goes on."""
        found: NDArray[np.bool_] = self.current < 0
        return found


def moments_of(dialogues: Sequence[Dialogue]) -> tuple[Moments, list[str]]:
    """All moments that have something to be learned, and the different texts their turns are."""
    texts: dict[str, int] = {}
    rows = [row for dialogue in dialogues for row in _rows(dialogue, texts)]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return Moments(
        **{name: np.array(values) for name, values in columns.items() if name != "intensity"},
        intensity=np.array(columns["intensity"], np.float32),
    ), list(texts)


def _rows(dialogue: Dialogue, texts: dict[str, int]) -> list[dict[str, object]]:
    known = CORPUS_EMOTIONS.get(dialogue.corpus, EMOTIONS)
    allowed = [emotion in known for emotion in EMOTIONS]
    names = STRATEGIES.get(dialogue.corpus, ())
    done = [_place(names[turn.strategy]) if turn.strategy >= 0 else -1 for turn in dialogue.turns]

    def place(turn: Turn) -> int:
        return texts.setdefault(turn.text, len(texts))

    rows: list[dict[str, object]] = []
    steps: dict[str, int] = {}
    for number, turn in enumerate(dialogue.turns):
        following = dialogue.turns[number + 1] if number + 1 < len(dialogue.turns) else None
        is_person = turn.speaker != dialogue.supporter
        if is_person:
            steps[turn.speaker] = steps.get(turn.speaker, 0) + 1
        answer = following if following is not None and following.speaker == dialogue.supporter else None
        if not is_person and (answer is None or not steps):
            continue  # a supporter's turn is a moment only if they go on
        end = number if is_person else number + 1
        first = max(0, end - TURNS)
        own = turn.speaker if is_person else None
        blank = [-1] * (TURNS - (end - first))
        roles = [
            OWN if (one.speaker == own or (own is None and one.speaker != dialogue.supporter)) else OTHERS
            for one in dialogue.turns[first:end]
        ]
        act = -1 if answer is None else answer.strategy
        if max(turn.emotion, act, turn.stage) < 0:
            continue
        rows.append({
            "protocol": dialogue.protocol, "group": dialogue.group, "held": dialogue.held,
            "past": blank + [place(one) for one in dialogue.turns[first:end]],
            "role": [0] * len(blank) + roles, "done": blank + done[first:end],
            "current": place(turn) if is_person else -1,
            "step": (steps[turn.speaker] - 1) if is_person else max(steps.values()),
            "allowed": allowed, "emotion": turn.emotion,
            "strategy_mesc": act if dialogue.corpus == "mesc" else -1,
            "strategy_esconv": act if dialogue.corpus in {"esconv", "escot"} else -1,
            "system_emotion": -1 if answer is None else answer.system_emotion,
            "stage": turn.stage, "intensity": turn.intensity,
        })  # fmt: skip
    return rows


def _place(strategy: str) -> int:
    return MESC_STRATEGIES.index(ESCONV_AS_MESC.get(strategy, strategy))
