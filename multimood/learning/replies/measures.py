"""What is measured of replies, one number a reply, and what bootstrap over whole dialogues says of it. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

RESAMPLES: Final = 1_000
COVERAGE: Final = 0.95
SEED: Final = 0
GRAM: Final = 3

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Resamples:
    """Places of rows in every resample: whole groups are drawn, the same ones for every measure and model."""

    places: Sequence[NDArray[np.int64]]

    @classmethod
    def of(cls, groups: Sequence[str], resamples: int = RESAMPLES) -> "Resamples":
        """Draw as many groups as there are, `resamples` times."""
        names, place = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
        rows = [np.flatnonzero(place == number) for number in range(len(names))]
        chance = np.random.default_rng(SEED)
        return cls(
            [
                np.concatenate([rows[one] for one in chance.integers(len(rows), size=len(rows))])
                for _ in range(resamples)
            ]
        )

    def mean(self, values: Floats) -> dict[str, Any]:
        """Mean and interval of numbers [n]; NaN marks those that are not known. None of all: nobody said any."""
        known = np.isfinite(values)
        if not known.any():
            return {"mean": None, "interval": None, "n": 0}
        drawn = [float(np.nanmean(values[rows])) for rows in self.places if known[rows].any()]
        return {"mean": float(np.nanmean(values)), "interval": interval(drawn), "n": int(known.sum())}


def interval(values: Sequence[float]) -> list[float] | None:
    """The middle 95 % of what was drawn; None of nothing."""
    if not values:
        return None
    return [float(end) for end in np.quantile(values, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])]


def repetition(text: str) -> float:
    """Share of a reply's word triples that it has had before: 0..1."""
    words = text.lower().split()
    triples = Counter(zip(words, words[1:], words[2:], strict=False))
    total = triples.total()
    return (total - len(triples)) / total if total else 0.0


def sameness(texts: Sequence[str]) -> float:
    """Share of replies that another context got to the letter, too: 0..1."""
    counted = Counter(text.strip().lower() for text in texts)
    return sum(count for count in counted.values() if count > 1) / len(texts) if texts else 0.0


def by_slice(values: Floats, slices: Sequence[str], groups: Sequence[str]) -> Mapping[str, dict[str, Any]]:
    """Mean and interval of the numbers of every slice."""
    names = np.asarray(slices, dtype=str)
    return {
        str(name): Resamples.of([groups[int(row)] for row in np.flatnonzero(names == name)]).mean(values[names == name])
        for name in dict.fromkeys(slices)
    }
