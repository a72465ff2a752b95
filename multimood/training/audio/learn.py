"""From raw values of sounds to adapter and heads. What is chosen here is chosen inside the training speakers."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from multimood.graphs.adapter import Adapter
from multimood.training.audio.adapter import Axes, find_axes
from multimood.training.audio.voice import INTENSITIES, Recipe, Voice
from multimood.training.fusion import emotion
from multimood.training.fusion.emotion import FOLDS, Pool
from multimood.training.heads import Floats, Network, Task, softmax
from multimood.training.softmax import fit_softmax
from multimood.training.trials import Trials

UNHEARD: Final = ("depression",)
"""No voice in the data is labelled with these."""
EVENNESS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
STRENGTHS: Final = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
_CLOSED: Final = -1e9


@dataclass(frozen=True, slots=True)
class Sounds:
    """Sounds as they are and as they would be faster or slower: raw float32 [speeds, n, m], the first at speed 1.

    `strong` int64 [n] indexes INTENSITIES, -1 where it is not known.
    """

    pool: Pool
    raw: Floats
    strong: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Learned:
    """`unseen` float32 [n, 8]: logits of each sound by heads that had not heard its speaker; of held sounds, by all."""

    adapter: Adapter
    voice: Voice
    unseen: Floats


def learn(sounds: Sounds, seed: int, trials: Trials) -> Learned:
    """Choose the recipe by cross-validation over speakers and fit with it; both temperatures are those of strangers."""
    pool, rows = sounds.pool, ~sounds.pool.held
    unseen = Unseen(sounds, seed)
    recipes = {str(recipe): recipe for recipe in (Recipe(*pair) for pair in product(EVENNESS, STRENGTHS))}
    recipe = trials.least("cross-entropy", recipes, lambda one: calibrated(unseen.logits(one), pool, rows)[1])
    whole = find_axes(_stacked(sounds, rows))
    adapter, head = _fit(sounds, rows, whole, recipe)
    embedding = adapter(sounds.raw[0])
    logits = np.where(pool.held[:, None], head.logits(embedding), unseen.logits(recipe)).astype(np.float32)
    strong = rows & (sounds.strong >= 0)
    voice = Voice(
        emotion=emotion.closed(head, UNHEARD),
        arousal=fit_softmax(embedding[strong], _plain(sounds.strong[strong], len(INTENSITIES)), recipe.strength),
        bounds=emotion.bounds(embedding[rows]),
        temperature=calibrated(logits, pool, rows)[0],
        far_temperature=calibrated(_of_other_corpora(sounds, recipe), pool, rows)[0],
        recipe=recipe,
    )
    return Learned(adapter, voice, logits)


class Unseen:
    """Logits of training sounds by heads that did not hear their speaker, with axes found without them, too."""

    def __init__(self, sounds: Sounds, seed: int) -> None:
        self._sounds = sounds
        self._folds = emotion.folds_of(sounds.pool, seed)
        self._axes: dict[int, Axes] = {}

    def logits(self, recipe: Recipe) -> Floats:
        """By heads made with a recipe, float32 [n, 8]; 0 for held sounds."""
        found = np.zeros((len(self._folds), self._sounds.pool.task.size), np.float32)
        for fold in range(FOLDS):
            seen, rest = (self._folds >= 0) & (self._folds != fold), self._folds == fold
            if fold not in self._axes:
                self._axes[fold] = find_axes(_stacked(self._sounds, seen))
            adapter, head = _fit(self._sounds, seen, self._axes[fold], recipe)
            found[rest] = head.logits(adapter(self._sounds.raw[0][rest]))
        return found


def calibrated(logits: Floats, pool: Pool, rows: NDArray[np.bool_]) -> tuple[float, float]:
    """The temperature that makes logits float32 [n, 8] as sure as they are right on `rows`, and the cross-entropy then.

    Every corpus counts alike in the latter.
    """
    degree = emotion.temperature(logits, pool, rows)
    shares = softmax(np.where(pool.task.allowed, logits / np.float32(degree), _CLOSED))
    missed = -np.log(shares[np.arange(len(shares)), pool.task.labels] + 1e-9)
    return degree, float(np.mean([missed[rows & (pool.corpus == one)].mean() for one in np.unique(pool.corpus[rows])]))


def arousal_scores(sounds: Sounds, learned: Learned) -> Mapping[str, float]:
    """Of the strong/normal head on held speakers: accuracy, and that of the more frequent answer."""
    chosen = sounds.pool.held & (sounds.strong >= 0)
    truth = sounds.strong[chosen]
    said = learned.voice.arousal.logits(learned.adapter(sounds.raw[0][chosen])).argmax(axis=1)
    return {
        "accuracy": float((said == truth).mean()),
        "majority accuracy": float(np.bincount(truth).max() / len(truth)),
    }


def _of_other_corpora(sounds: Sounds, recipe: Recipe) -> Floats:
    """Logits of every training sound by heads that heard other corpora only."""
    pool = sounds.pool
    logits = np.zeros((len(pool.x), pool.task.size), np.float32)
    for corpus in np.unique(pool.corpus):
        seen, rest = (pool.corpus != corpus) & ~pool.held, pool.corpus == corpus
        adapter, head = _fit(sounds, seen, find_axes(_stacked(sounds, seen)), recipe)
        logits[rest] = head.logits(adapter(sounds.raw[0][rest]))
    return logits


def _fit(sounds: Sounds, rows: NDArray[np.bool_], axes: Axes, recipe: Recipe) -> tuple[Adapter, Network]:
    adapter, speeds = axes.adapter(recipe.evenness), len(sounds.raw)
    task = sounds.pool.task.rows(np.tile(np.flatnonzero(rows), speeds))
    shared = Task(task.labels, task.allowed, task.weights / np.float32(speeds))
    return adapter, fit_softmax(adapter(_stacked(sounds, rows)), shared, recipe.strength)


def _stacked(sounds: Sounds, rows: NDArray[np.bool_]) -> Floats:
    """Rows at all speeds, one speed after the other."""
    return np.concatenate([raw[rows] for raw in sounds.raw])


def _plain(labels: NDArray[np.int64], size: int) -> Task:
    return Task(labels, np.ones((len(labels), size), np.bool_), np.ones(len(labels), np.float32))
