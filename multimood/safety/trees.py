"""Boosted trees of two questions each, asked with numpy alone.

    f(x) = base + sum over trees of the leaf that x comes to

A tree asks whether x[feature] <= threshold at its root, and once more on either side: four leaves. One that asks less
has the same leaf twice.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NODES = 3
LEAVES = 4


@dataclass(frozen=True, slots=True)
class Trees:
    """All trees of a model."""

    base: float
    features: NDArray[np.int64]
    """[trees, 3]: which number is asked about at the root, on its left (at most the threshold), on its right."""
    thresholds: NDArray[np.float32]
    """[trees, 3]."""
    leaves: NDArray[np.float32]
    """[trees, 4]: left left, left right, right left, right right."""

    def __post_init__(self) -> None:
        """Raise ValueError for trees that cannot be asked."""
        count = len(self.features)
        for name, shape in (("features", NODES), ("thresholds", NODES), ("leaves", LEAVES)):
            found = getattr(self, name).shape
            if found != (count, shape):
                raise ValueError(f"{name} are {found}, not {(count, shape)}")
        if np.isnan(self.thresholds).any() or not np.isfinite(self.leaves).all() or not np.isfinite(self.base):
            raise ValueError("a threshold, a leaf or the base is no number")
        if count and self.features.min() < 0:
            raise ValueError("a tree asks about a number before the first")

    def score(self, numbers: NDArray[np.float32]) -> float:
        """Give f of one vector, float32 [n], in log-odds."""
        right = numbers[self.features] > self.thresholds
        rows = np.arange(len(right))
        side = right[:, 0].astype(np.int64)
        leaf = 2 * side + right[rows, 1 + side]
        return float(self.base + self.leaves[rows, leaf].sum(dtype=np.float64))
