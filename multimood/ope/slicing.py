"""A log whole and in slices, each evaluated by itself: a good mean may hide a group that is served badly. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from multimood.ope.evaluate import NAIVE, OF_TURNS, Estimate, evaluate
from multimood.ope.log import Bools, Log
from multimood.ope.support import Refusal
from multimood.ope.views import Question


@dataclass(frozen=True, slots=True)
class Part:
    """One answer about one slice."""

    slice: str
    """`all`, or `name=value`."""
    answer: Estimate | Refusal
    logged: Estimate | Refusal
    """What was earned there, of turns or of conversations as the answer is."""


def parts(log: Log, question: Question, slices: Sequence[str] = ()) -> Iterator[Part]:
    """Answer for the whole log, then for every value of every slice.

    A turn is in the slice that it is in itself, a conversation in that of its first turn.
    """
    yield from _part("all", log, question, np.ones(len(log), bool))
    for name in slices:
        values = log.slices[name]
        for value in np.unique(values):
            yield from _part(f"{name}={value}", log, question, values == value)


def count(log: Log, question: Question, slices: Sequence[str] = ()) -> int:
    """How many parts there will be."""
    asked = sum(name not in NAIVE for name in question.estimators)
    return asked * (1 + sum(len(np.unique(log.slices[name])) for name in slices))


def _part(name: str, log: Log, question: Question, inside: Bools) -> Iterator[Part]:
    starts = np.ones(len(log), bool)
    starts[1:] = log.conversation[1:] != log.conversation[:-1]
    begun = np.isin(log.conversation, log.conversation[starts & inside])
    asked = [estimator for estimator in question.estimators if estimator not in NAIVE]
    of_turns = tuple(estimator for estimator in asked if estimator in OF_TURNS)
    of_conversations = tuple(estimator for estimator in asked if estimator not in OF_TURNS)
    for naive, estimators, rows in (("mean", of_turns, inside), ("return", of_conversations, begun)):
        if estimators:
            answers = evaluate(log.take(rows), replace(question, estimators=(naive, *estimators)))
            logged = next(answers)
            yield from (Part(name, answer, logged) for answer in answers)
