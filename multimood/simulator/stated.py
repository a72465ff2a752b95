"""The state that the pipeline would log of simulated turns (`multimood.perception.state`), of many at once. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np

from multimood.ope.contexts import STRATEGIES
from multimood.ope.log import Floats, Ints
from multimood.perception.state import STRATEGIES as OF_TAXONOMY
from multimood.perception.state import names_of
from multimood.simulator.perceived import Perceived, Setting
from multimood.taxonomy import EMOTIONS, STAGES

LEVELS: Final = ("none", "low")
RISK: Final = 0.5
"""From this score of the screening on it says low."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What the system did in the turns before, of `n` conversations."""

    last: Ints
    """[n]: index into STRATEGIES; -1: nothing."""
    used: Ints
    """[n, len(STRATEGIES)]: how often each."""

    @classmethod
    def nothing(cls, count: int) -> Self:
        """Before the first turn."""
        return cls(np.full(count, -1), np.zeros((count, len(STRATEGIES)), np.int64))

    def after(self, strategy: Ints) -> Self:
        """After one more turn; -1: no strategy."""
        return type(self)(strategy, self.used + (strategy[:, None] == np.arange(len(STRATEGIES))))

    def take(self, which: Any) -> Self:
        """Some of them."""
        return type(self)(self.last[which], self.used[which])


def level_of(risk: Any) -> Ints:
    """Index into LEVELS by the screening's score."""
    level: Ints = np.digitize(risk, [RISK])
    return level


@dataclass(frozen=True, slots=True)
class Said:
    """What is known of strategies before one is chosen."""

    spoken: Spoken
    model: Mapping[str, Floats]
    """By strategy what the fusion model gives it [n]; 0 for one that is not there."""


def states(version: str, step: int, perceived: Perceived, setting: Setting, said: Said) -> Floats:
    """[n, s] in the order of the version's names, of float32's precision, as the log keeps it."""
    count = len(perceived.stage)
    columns: dict[str, Any] = {
        "intensity": perceived.intensity, "step": float(step), "risk.low": level_of(perceived.risk) == 1,
        "present.text": 1.0, "present.audio": setting.audio, "present.video": setting.video,
    }  # fmt: skip
    columns |= {f"emotion.{name}": perceived.emotion[:, place] for place, name in enumerate(EMOTIONS)}
    columns |= {f"stage.{name}": perceived.stage == place for place, name in enumerate(STAGES)}
    for name in OF_TAXONOMY[version.partition(":")[2]]:
        place = STRATEGIES.index(name)
        columns |= {
            f"model.{name}": said.model.get(name, 0.0),
            f"last.{name}": said.spoken.last == place,
            f"used.{name}": said.spoken.used[:, place],
        }
    made = np.empty((count, len(columns)), np.float32)
    for place, name in enumerate(names_of(version)):
        made[:, place] = columns[name]
    return made.astype(np.float64)
