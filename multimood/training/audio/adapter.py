"""The axes on which voices differ most: principal components, their spread partly evened out."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from multimood.graphs.adapter import Adapter
from multimood.training.fusion.network import Floats

WIDTH: Final = 256
_STILL: Final = 1e-5
_LEAST: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Axes:
    """Mean and deviation of each raw value [n], principal axes [n, d], and the rows' deviation along each [d]."""

    mean: Floats
    scale: Floats
    axes: Floats
    spread: Floats

    def adapter(self, evenness: float) -> Adapter:
        """An adapter whose values have deviation spread^(1 - evenness); rounded to float16, as it is shipped.

        An even embedding lets a head use rare differences as cheaply as frequent ones.
        """
        projection = (self.axes / self.spread**evenness).astype(np.float16).astype(np.float32)
        return Adapter(self.mean, self.scale, projection)


def find_axes(x: Floats, width: int = WIDTH) -> Axes:
    """Principal axes of standardised rows float32 [n, m]; where fewer vary, the rest are zero."""
    mean, scale = x.mean(axis=0), x.std(axis=0) + np.float32(_STILL)
    standard = (x - mean) / scale
    wide = len(x) < x.shape[1]
    square = standard @ standard.T if wide else standard.T @ standard
    values, vectors = np.linalg.eigh(square.astype(np.float64))
    kept = np.flatnonzero(values > values[-1] * _LEAST)[::-1][:width]
    axes = vectors[:, kept].astype(np.float32)
    if wide:
        axes = standard.T @ axes / np.sqrt(values[kept]).astype(np.float32)
    axes *= np.where(axes[np.abs(axes).argmax(axis=0), np.arange(len(kept))] < 0, np.float32(-1), np.float32(1))
    spread = np.sqrt(values[kept] / len(x)).astype(np.float32)
    blank = width - len(kept)
    return Axes(
        mean.astype(np.float32),
        scale,
        np.pad(axes, ((0, 0), (0, blank))),
        np.pad(spread, (0, blank), constant_values=1),
    )
