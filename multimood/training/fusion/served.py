"""Scores of a fusion graph on the validation parts: what is run here is the file that will be served."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from multimood.history import MARKS, TURNS, WIDTH
from multimood.taxonomy import MODALITIES
from multimood.training.fusion import teach
from multimood.training.fusion.graph import WIDTHS
from multimood.training.fusion.teach import Lesson
from multimood.training.heads import Floats

_BATCH: Final = 256


class Fusion:
    """A fusion graph, asked in batches."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.names: Final = tuple(item.name for item in session.get_outputs())

    def __call__(self, count: int, **given: Floats) -> Mapping[str, Floats]:
        """Outputs of `count` rows for vectors by modality [n, d] and history (past, marks, step).

        What is not given is absent, its vector filled with NaN; without history there was nothing before.
        """
        inputs = {name: given.get(name, np.full((count, width), np.nan, np.float32)) for name, width in WIDTHS}
        inputs["present"] = np.tile(np.array([name in given for name in MODALITIES], np.float32), (count, 1))
        for name, shape in (("past", (TURNS, WIDTH)), ("marks", (TURNS, MARKS)), ("step", (1,))):
            inputs[name] = given.get(name, np.zeros((count, *shape), np.float32))
        if "present" in given:
            inputs["present"] = given["present"]
        parts = [
            self._session.run(None, {name: value[start : start + _BATCH] for name, value in inputs.items()})
            for start in range(0, count, _BATCH)
        ]
        return {name: np.concatenate([part[place] for part in parts]) for place, name in enumerate(self.names)}


def told(lesson: Lesson, rows: Sequence[int]) -> dict[str, Floats]:
    """The graph's inputs for moments of which words are all there is."""
    shown = lesson.told(rows, None, np.random.default_rng(0))
    n, t = shown.past.shape[:2]
    past, marks = np.zeros((n, TURNS, WIDTH), np.float32), np.zeros((n, TURNS, MARKS), np.float32)
    past[:, TURNS - t :] = shown.past.numpy() / np.float32(np.sqrt(WIDTH))
    marks[:, TURNS - t :] = shown.marks.numpy()
    present = np.zeros((n, len(MODALITIES)), np.float32)
    present[:, 0] = shown.here.numpy()
    text = shown.text.numpy() / np.float32(np.sqrt(WIDTH))
    return {"text": text, "past": past, "marks": marks, "step": shown.step.numpy()[:, None], "present": present}


def served_scores(fusion: Fusion, lesson: Lesson, rows: Sequence[int]) -> dict[str, dict[str, float]]:
    """`teach.scores` of what the graph itself says; how turns before were felt is told by their words alone."""
    said = {name: np.log(value + 1e-9) for name, value in fusion(len(rows), **told(lesson, rows)).items()}
    said["intensity"] = -np.log(1 / np.exp(said["intensity"]) - 1 + 1e-9)  # back to the logit that `scores` expects
    return teach.scores(lesson, rows, said)
