"""Real pairs: of RAVDESS' takes the voice, and the action units that software measured in the same take's picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from multimood.errors import ConfigurationError
from multimood.taxonomy import CORPUS_EMOTIONS, EMOTIONS
from multimood.training.fusion.corpora import read_table
from multimood.training.heads import Floats, Network, Recipe, Task, fit_hidden, softmax
from multimood.training.softmax import fit_softmax
from multimood.training.trials import Trials
from multimood.training.video.units import UnitsHead, relative, tempered, usual_of

FOLDS: Final = 4
ALLOWED: Final = np.isin(np.arange(len(EMOTIONS)), [EMOTIONS.index(name) for name in CORPUS_EMOTIONS["ravdess"]])
TAKES: Final = (5.0, 10.0, 20.0, 40.0)
STRENGTHS: Final = (0.03, 0.1)
HIDDEN: Final = (64,)
ORDERS: Final = 4
"""In how many orders each person's takes are learned from; every other one in stretches."""
OTHERS: Final = "aumlp"
"""Of the two face models of others in the file the one that, like ours, looks at single frames and averages."""
COLUMNS: Final = (
    ("anger", "anger"), ("calm", "neutral"), ("disgust", "disgust"), ("fear", "fear"),
    ("happy", "joy"), ("neutral", "neutral"), ("sad", "sadness"), ("surprise", "surprise"),
)  # fmt: skip
_CLOSED: Final = -1e9
_SHUT: Final = np.float32(-30)

Order = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Takes:
    """Takes in the order of the file: square roots of units float32 [n, d] by `names`, others' shares float32 [n, 8].

    `paths` name their sounds, `labels` int64 [n] index EMOTIONS.
    """

    names: tuple[str, ...]
    units: Floats
    shares: Floats
    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    people: NDArray[np.str_]
    held: NDArray[np.bool_]

    def rows(self, chosen: NDArray[np.bool_]) -> "Takes":
        """Some of them."""
        paths = tuple(path for path, is_chosen in zip(self.paths, chosen, strict=True) if is_chosen)
        arrays = (self.labels[chosen], self.people[chosen], self.held[chosen])
        return Takes(self.names, self.units[chosen], self.shares[chosen], paths, *arrays)


@dataclass(frozen=True, slots=True)
class Way:
    """How many takes what is usual of people weighs, and the head: its strength, or the size of its hidden layer."""

    takes: float
    strength: float
    hidden: int = 0

    def __str__(self) -> str:
        head = f"hidden {self.hidden}" if self.hidden else f"strength {self.strength:g}"
        return f"people in general weigh {self.takes:g} takes, {head}"


def read_takes(data: Path) -> Takes:
    """Read the pairs.

    Raises:
        NotFoundError: they are not there.
        ConfigurationError: they have no action units.
    """
    file = data / "av" / "ravdess_paired.csv"
    rows = list(read_table(file))
    names = tuple(name for name in (rows[0] if rows else {}) if name.startswith("AU"))
    if not names:
        raise ConfigurationError(f"{file} has no columns AU*: they say what moved in the face")
    shares = np.zeros((len(rows), len(EMOTIONS)))
    for column, emotion in COLUMNS:
        shares[:, EMOTIONS.index(emotion)] += [float(row[f"{OTHERS}_{column}"]) for row in rows]
    return Takes(
        names,
        tempered(np.array([[float(row[name]) for name in names] for row in rows])),
        (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32),
        tuple(row["audio_path"] for row in rows),
        np.array([EMOTIONS.index(row["label"]) for row in rows], np.int64),
        np.array([row["speaker"] for row in rows]),
        np.array([row["split"] != "train" for row in rows]),
    )


def orders_of(takes: Takes, count: int, chance: np.random.Generator) -> list[Order]:
    """Orders in which the takes might have come: by chance, and, every other one, with each emotion for a stretch.

    The order of the file says what is felt (it is sorted by label), so nothing is learned in it.
    """
    found = []
    for number in range(count):
        place = chance.random(len(EMOTIONS))[takes.labels] if number % 2 else np.zeros(len(takes.labels))
        found.append(np.lexsort((chance.random(len(takes.labels)), place)))
    return found


def ways() -> Mapping[str, Way]:
    """What is tried, by name."""
    linear = [Way(takes, strength) for takes, strength in product(TAKES, STRENGTHS)]
    return {str(way): way for way in [*linear, *(Way(takes, 0, hidden) for takes, hidden in product(TAKES, HIDDEN))]}


class Unseen:
    """Heads that did not see a person, on training takes: their logits in several orders."""

    def __init__(self, takes: Takes, seed: int) -> None:
        self._takes = takes
        self._seed = seed
        chance = np.random.default_rng(seed)
        people = np.unique(takes.people)
        fold = dict(zip(people, chance.permutation(len(people)) % FOLDS, strict=True))
        self._folds = np.array([fold[person] for person in takes.people])
        self.orders = orders_of(takes, ORDERS, chance)

    def logits(self, way: Way) -> Floats:
        """Of every take in every order, float32 [orders, n, 8]."""
        found = np.zeros((len(self.orders), len(self._takes.labels), len(EMOTIONS)), np.float32)
        for fold in range(FOLDS):
            rest = self._folds == fold
            head = fit_units(self._takes.rows(~rest), way, self._seed)
            for number, order in enumerate(self.orders):
                seen = relative(self._takes.units, list(self._takes.people), order, head.usual)
                found[number, rest] = head.network.logits(seen[rest])
        return found

    def entropy(self, way: Way) -> float:
        """Mean cross-entropy over takes and orders."""
        return entropy(self.logits(way), self._takes.labels)


def learn_units(takes: Takes, seed: int, trials: Trials) -> tuple[UnitsHead, Way, Floats]:
    """Choose a way by cross-validation over people and fit with it; also gives the unseen logits [orders, n, 8].

    The head is calibrated: its temperature, that of people it had not seen, is folded into it.
    """
    unseen = Unseen(takes, seed)
    way = trials.least("cross-entropy of units", ways(), unseen.entropy)
    logits = unseen.logits(way)
    degrees = np.exp(np.linspace(-1, 1.5, 101))
    degree = np.float32(min(degrees, key=lambda one: entropy(logits / np.float32(one), takes.labels)))
    head = fit_units(takes, way, seed)
    bias = np.where(ALLOWED, head.network.outer_bias / degree, _SHUT).astype(np.float32)
    network = Network(head.network.inner, head.network.inner_bias, head.network.outer / degree, bias)
    return UnitsHead(head.names, head.usual, network), way, logits / degree


def fit_units(takes: Takes, way: Way, seed: int) -> UnitsHead:
    """A head on takes in several orders; they share a take's weight."""
    usual = usual_of(takes.units, takes.people, way.takes)
    orders = orders_of(takes, ORDERS, np.random.default_rng(seed))
    x = np.concatenate([relative(takes.units, list(takes.people), order, usual) for order in orders])
    weights = np.full(len(x), 1 if way.hidden else 1 / len(orders), np.float32)
    task = Task(np.tile(takes.labels, len(orders)), np.tile(ALLOWED, (len(x), 1)), weights)
    if way.hidden:
        return UnitsHead(takes.names, usual, fit_hidden(x, task, Recipe(hidden=way.hidden), seed))
    return UnitsHead(takes.names, usual, fit_softmax(x, task, way.strength))


def shares_of(logits: Floats) -> Floats:
    """Probabilities over EMOTIONS, 0 for those that the corpus has not."""
    return softmax(np.where(ALLOWED, logits, np.float32(_CLOSED)))


def entropy(logits: Floats, labels: NDArray[np.int64]) -> float:
    """Mean cross-entropy of logits [..., n, 8] against labels [n]."""
    return float(-np.log(shares_of(logits)[..., np.arange(len(labels)), labels] + 1e-9).mean())
