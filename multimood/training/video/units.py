"""Facial action units (Ekman and Friesen 1978), relative to what is usual of the person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from multimood.training.heads import Floats, Network, softmax

FARTHEST: Final = 4.0
"""Deviations from a person's mean up to which a unit is believed."""
_LEAST: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Usual:
    """What is expected of somebody who was never seen: mean and deviation [d], which weigh as much as `takes` takes."""

    mean: Floats
    deviation: Floats
    takes: float


@dataclass(frozen=True, slots=True)
class UnitsHead:
    """Calibrated logits over EMOTIONS from units `names`, each relative to the person's own mean and deviation."""

    names: tuple[str, ...]
    usual: Usual
    network: Network

    def vector(self, units: Mapping[str, float]) -> Floats | None:
        """The units that the head takes, float32 [d]; None if one is missing or is no number."""
        found = np.array([units.get(name, np.nan) for name in self.names], np.float32)
        return tempered(found) if np.isfinite(found).all() else None

    def shares(self, relative: Floats) -> Floats:
        """Probabilities of EMOTIONS from a `Baseline`'s view of a take: [d] -> [8]."""
        found: Floats = softmax(self.network.logits(relative[None]))[0]
        return found


class Baseline:
    """One person's face as it usually is, from the takes so far: nothing that comes later is known."""

    def __init__(self, usual: Usual) -> None:
        k = usual.takes
        self._count = k
        self._sum = k * usual.mean.astype(np.float64)
        self._squares = k * (usual.deviation.astype(np.float64) ** 2 + usual.mean.astype(np.float64) ** 2)

    def look(self, units: Floats) -> Floats:
        """Count a take, float32 [d], in, and give it in deviations from the person's mean."""
        self._count += 1
        self._sum += units
        self._squares += units.astype(np.float64) ** 2
        mean = self._sum / self._count
        deviation = np.sqrt(np.maximum(self._squares / self._count - mean**2, _LEAST))
        relative: Floats = ((units - mean) / deviation).clip(-FARTHEST, FARTHEST).astype(np.float32)
        return relative


def tempered(units: NDArray[np.floating]) -> Floats:
    """Square roots: intensities (0 to 5) and shares of frames are mostly near 0, with few high ones."""
    found: Floats = np.sqrt(np.maximum(units, 0)).astype(np.float32)
    return found


def relative(units: Floats, people: Sequence[str], order: NDArray[np.int64], usual: Usual) -> Floats:
    """Each take float32 [n, d] as it is relative to its person's takes that come before it in `order`: [n, d]."""
    seen: dict[str, Baseline] = {}
    found = np.zeros_like(units)
    for take in order:
        person = people[take]
        found[take] = seen.setdefault(person, Baseline(usual)).look(units[take])
    return found


def usual_of(units: Floats, people: NDArray[np.str_], takes: float) -> Usual:
    """Mean over all takes, and the deviation of takes within a person, over people: [d] each."""
    within = np.mean([units[people == person].var(axis=0) for person in np.unique(people)], axis=0)
    return Usual(units.mean(axis=0), np.sqrt(within + _LEAST).astype(np.float32), takes)
