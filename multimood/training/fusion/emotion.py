"""Emotion heads, one per modality: trained over pooled corpora, each row only over its corpus' own labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar  # type: ignore[import-not-found,import-untyped,unused-ignore]

from multimood.taxonomy import EMOTIONS
from multimood.training.fusion.corpora import Samples
from multimood.training.heads import Floats, Network, Recipe, Task, fit_hidden, softmax, standard

FOLDS: Final = 4
FACE_RECIPE: Final = Recipe(hidden=128, epochs=20, dropout=0.5)
FARTHEST: Final = 4.0
"""Standard deviations from the mean up to which an input is believed."""
SHUT: Final = np.float32(-30.0)
"""Logit of an emotion that a modality was never shown."""

Fit = Callable[[Floats, Task], Network]


@dataclass(frozen=True, slots=True)
class Pool:
    """Corpora of one modality, stacked: `x` float32 [n, d], `corpus` and `groups` str [n], `held` bool [n]."""

    x: Floats
    task: Task
    corpus: NDArray[np.str_]
    groups: NDArray[np.str_]
    held: NDArray[np.bool_]


def pool(corpora: Sequence[Samples], vectors: Sequence[Floats]) -> Pool:
    """Stack corpora. A corpus weighs as the square root of its size, so that a large one does not decide alone."""
    weights, allowed = [], []
    for samples in corpora:
        size = len(samples)
        weights.append(np.full(size, 1 / np.sqrt((~samples.held).sum())))
        allowed.append(np.tile(samples.allowed, (size, 1)))
    weight = np.concatenate(weights)
    task = Task(
        np.concatenate([samples.labels for samples in corpora]),
        np.concatenate(allowed),
        (weight / weight.mean()).astype(np.float32),
    )
    return Pool(
        np.concatenate(vectors).astype(np.float32),
        task,
        np.concatenate([np.full(len(samples), samples.corpus) for samples in corpora]),
        np.concatenate([samples.groups for samples in corpora]),
        np.concatenate([samples.held for samples in corpora]),
    )


def folds_of(pooled: Pool, seed: int) -> NDArray[np.int64]:
    """A fold number for every training row, whole groups together; -1 for the rows that are held back."""
    chance = np.random.default_rng(seed)
    names = np.unique(pooled.groups[~pooled.held])
    number = dict(zip(names, chance.permutation(len(names)) % FOLDS, strict=True))
    return np.array(
        [number.get(name, -1) if not held else -1 for name, held in zip(pooled.groups, pooled.held, strict=True)]
    )


def unseen_networks(pooled: Pool, fit: Fit, folds: NDArray[np.int64]) -> dict[int, Network]:
    """For every fold a network that did not see it; for -1, what is held back, one that saw all folds."""
    found = {}
    for fold in (*range(FOLDS), -1):
        seen = (folds >= 0) & (folds != fold)
        found[fold] = fit(pooled.x[seen], pooled.task.rows(seen))
    return found


def unseen_logits(networks: Mapping[int, Network], x: Floats, folds: NDArray[np.int64]) -> Floats:
    """Logits of every row by the network that did not see its fold."""
    logits = np.zeros((len(x), networks[-1].outer.shape[1]), np.float32)
    for fold, network in networks.items():
        logits[folds == fold] = network.logits(x[folds == fold])
    return logits


def fit_deep(recipe: Recipe, seed: int) -> Fit:
    """A head with a hidden layer."""
    return lambda x, task: _scaled(x, lambda z: fit_hidden(z, task, recipe, seed))


def temperature(logits: Floats, pooled: Pool, rows: NDArray[np.bool_]) -> float:
    """What to divide logits by so that they are as sure as they are right (Guo et al., ICML 2017, section 4.2)."""
    found = minimize_scalar(
        lambda log: _entropy(logits, pooled, rows, float(np.exp(log))), bounds=(-1.5, 3.0), method="bounded"
    )
    return float(np.exp(found.x))


def closed(network: Network, unknown: Sequence[str]) -> Network:
    """The same network, never answering the emotions that were not in its data."""
    bias = network.outer_bias.copy()
    bias[[EMOTIONS.index(name) for name in unknown]] = SHUT
    return Network(network.inner, network.inner_bias, network.outer, bias)


def bounds(x: Floats) -> Floats:
    """Lowest and highest value of each input that is believed, [2, d]: what is beyond was never seen in training."""
    mean, spread = x.mean(axis=0), x.std(axis=0)
    return np.stack([mean - FARTHEST * spread, mean + FARTHEST * spread]).astype(np.float32)


def _scaled(x: Floats, fit: Callable[[Floats], Network]) -> Network:
    """Fit on inputs of unit variance; the scaling is folded into the network. What never varies has no say."""
    mean, factor = standard(x)
    network = fit((x - mean) * factor)
    assert network.inner is not None
    inner = network.inner * factor[:, None]
    assert network.inner_bias is not None
    return Network(inner, network.inner_bias - mean @ inner, network.outer, network.outer_bias)


def _entropy(logits: Floats, pooled: Pool, rows: NDArray[np.bool_], scale: float) -> float:
    shares = softmax(np.where(pooled.task.allowed[rows], logits[rows] / scale, SHUT * 10))
    of_label = shares[np.arange(len(shares)), pooled.task.labels[rows]]
    return float(-(pooled.task.weights[rows] * np.log(of_label + 1e-9)).mean())
