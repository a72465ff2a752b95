"""Predictions beside the truth, as arrays: the only place where the two meet. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multimood.evaluation.rows import Dialogue, Output, Task

Prediction = Mapping[Output, Mapping[str, float] | float]
"""What is predicted at one row: probabilities by label, or a number."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Of one task under one mask, n rows: `said` float [n, labels] (numbers: [n, 1]), `truth` float or int [n]."""

    said: NDArray[np.float64]
    truth: NDArray[np.float64]
    groups: Sequence[str]

    def __add__(self, other: "Answers") -> "Answers":
        """Both after each other."""
        return Answers(
            np.concatenate([self.said, other.said]),
            np.concatenate([self.truth, other.truth]),
            [*self.groups, *other.groups],
        )


def answers(
    dialogues: Sequence[Dialogue], predictions: Sequence[Sequence[Prediction | None]], task: Task
) -> Answers | None:
    """Rows that have both a truth and a prediction (None: not one to be scored here); None without any."""
    found = list(_paired(dialogues, predictions, task))
    if task.by_group:
        found = _averaged(found)
    if not found:
        return None
    said, truth, groups = zip(*found, strict=True)
    return Answers(np.array(said, np.float64), np.array(truth, np.float64), groups)


def _paired(
    dialogues: Sequence[Dialogue], predictions: Sequence[Sequence[Prediction | None]], task: Task
) -> Iterator[tuple[list[float], float, str]]:
    for dialogue, predicted in zip(dialogues, predictions, strict=True):
        for row, prediction in zip(dialogue.rows, predicted, strict=True):
            truth = row.truth.get(task.truth)
            if truth is None or prediction is None or task.output not in prediction:
                continue
            known = float(task.labels.index(str(truth))) if task.labels else float(truth)
            yield over(task.labels, prediction[task.output]), known, dialogue.group


def over(labels: Sequence[str], said: Mapping[str, float] | float) -> list[float]:
    """Probabilities over the corpus' labels only, summing to 1; equal where the model gives them nothing."""
    if isinstance(said, float):
        return [said]
    shares = [said.get(label, 0.0) for label in labels]
    total = sum(shares)
    return [share / total for share in shares] if total > 0 else [1 / len(labels)] * len(labels)


def _averaged(found: Sequence[tuple[list[float], float, str]]) -> list[tuple[list[float], float, str]]:
    by_group: dict[str, list[tuple[list[float], float, str]]] = {}
    for one in found:
        by_group.setdefault(one[2], []).append(one)
    return [
        (np.mean([said for said, _, _ in rows], axis=0).tolist(), rows[0][1], group) for group, rows in by_group.items()
    ]


def truths(dialogues: Sequence[Dialogue], task: Task) -> tuple[NDArray[np.int64], list[str]]:
    """Label numbers and groups of every row that has a truth, whether or not anything predicts it."""
    found = [
        (task.labels.index(str(row.truth[task.truth])), dialogue.group)
        for dialogue in dialogues
        for row in dialogue.rows
        if task.truth in row.truth
    ]
    return np.array([truth for truth, _ in found], np.int64), [group for _, group in found]
