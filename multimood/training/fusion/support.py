"""What to do and where the conversation stands: strategy in two taxonomies, stage, the system's emotion, intensity.

Softmax regressions on the words' vector, the fused emotion and the history. A network with a hidden layer was tried
and did worse on dialogues it had not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from multimood.history import SIZE, history_vector
from multimood.taxonomy import EMOTIONS, ESCONV_STRATEGIES, MESC_STRATEGIES, STAGES
from multimood.training.fusion.dialogues import Turns
from multimood.training.fusion.network import Floats, Network, Task, fit_linear, softmax

LEARNED: Final = (("strategy_mesc", MESC_STRATEGIES), ("strategy_esconv", ESCONV_STRATEGIES), ("stage", STAGES))
KNOTS: Final = (0.05, 0.1, 0.2, 0.35)
"""Of the turn's number (in twentieths): between these what is usual may change at another pace."""
CONTEXT: Final = len(EMOTIONS) + SIZE + len(KNOTS)
"""Inputs beside the words."""
STRENGTHS: Final = (3e-4, 1e-3)
FOLDS: Final = 3
RIDGE: Final = 10.0


@dataclass(frozen=True, slots=True)
class Intensity:
    """A ridge regression on the words' vector."""

    slopes: Floats
    bias: float
    mean: float
    """What is said without words."""


@dataclass(frozen=True, slots=True)
class Support:
    """By output: the network with words ([384 + context] -> logits) and the one without ([context] -> logits).

    `system_emotion` are the logits of what is usual, [8]: nothing that was tried knew better.
    """

    worded: dict[str, Network]
    wordless: dict[str, Network]
    system_emotion: Floats
    intensity: Intensity


def context_of(emotion: Floats, history: Floats) -> Floats:
    """What is known beside the words: [n, 8] and [n, 20] -> [n, CONTEXT]."""
    step = history[:, -2:-1]
    pace = np.maximum(step - np.array(KNOTS, np.float32), 0)
    found: Floats = np.concatenate([emotion, history, pace], axis=1).astype(np.float32)
    return found


def histories(turns: Turns, emotion: Floats) -> Floats:
    """The history vector of every turn, [n, 20], from the fused distribution of each, [n, 8]."""
    rows = []
    for number, before in enumerate(turns.previous):
        known = bool(before >= 0)
        chosen = turns.strategies[turns.strategy[before]] if known and turns.strategy[before] >= 0 else ""
        felt = dict(zip(EMOTIONS, map(float, emotion[before]), strict=True)) if known else {}
        rows.append(history_vector(felt, chosen, int(turns.step[number]), previous=known))
    return np.stack(rows)


def fit_heads(turns: Turns, text: Floats, context: Floats, seed: int) -> tuple[dict[str, Network], dict[str, Network]]:
    """The heads that this corpus has labels for: with words and without; the strength is chosen on unseen dialogues."""
    both = np.concatenate([text, context], axis=1)
    worded, wordless = {}, {}
    for name, labels, size in _targets(turns):
        rows = np.flatnonzero((labels >= 0) & ~turns.held)
        task = Task(labels[rows], np.ones((len(rows), size), np.bool_), np.ones(len(rows), np.float32))
        strength = _choose(both[rows], task, turns.groups[rows], seed)
        worded[name] = fit_linear(both[rows], task, strength, CONTEXT)
        wordless[name] = fit_linear(context[rows], task, strength, CONTEXT)
    return worded, wordless


def usual(turns: Turns) -> Floats:
    """Log-shares of the system's emotion, [8]; what was never seen counts as seen once."""
    labels = turns.system_emotion[(turns.system_emotion >= 0) & ~turns.held]
    counts = np.maximum(np.bincount(labels, minlength=len(EMOTIONS)), 1)
    shares: Floats = np.log(counts / counts.sum()).astype(np.float32)
    return shares


def fit_intensity(text: Floats, rated: NDArray[np.float64]) -> Intensity:
    """Ridge regression of the reported intensity (0..1) on the words' vectors."""
    mean, centre = float(rated.mean()), text.mean(axis=0)
    z = (text - centre).astype(np.float64)
    slopes = np.linalg.solve(z.T @ z + RIDGE * np.eye(z.shape[1]), z.T @ (rated - mean))
    return Intensity(slopes.astype(np.float32), mean - float(centre @ slopes), mean)


def _targets(turns: Turns) -> list[tuple[str, NDArray[np.int64], int]]:
    found = [(f"strategy_{turns.corpus}", turns.strategy, len(turns.strategies))]
    if (turns.stage >= 0).any():
        found.append(("stage", turns.stage, len(STAGES)))
    return found


def _choose(x: Floats, task: Task, groups: NDArray[np.str_], seed: int) -> float:
    names = np.unique(groups)
    folds = dict(zip(names, np.random.default_rng(seed).permutation(len(names)) % FOLDS, strict=True))
    fold = np.array([folds[group] for group in groups])

    def entropy(strength: float) -> float:
        total = 0.0
        for held in range(FOLDS):
            network = fit_linear(x[fold != held], task.rows(fold != held), strength, CONTEXT)
            shares = softmax(network.logits(x[fold == held]))
            total -= float(np.log(shares[np.arange(len(shares)), task.labels[fold == held]] + 1e-9).sum())
        return total

    return min(STRENGTHS, key=entropy)


def merged(parts: Sequence[dict[str, Network]]) -> dict[str, Network]:
    """All heads in the order of LEARNED."""
    known = {name: network for part in parts for name, network in part.items()}
    return {name: known[name] for name, _ in LEARNED}
