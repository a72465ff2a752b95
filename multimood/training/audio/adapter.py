"""The axes on which voices differ most: principal components, their spread partly evened out."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from multimood.graphs.adapter import Adapter
from multimood.training.heads import Floats

WIDTH: Final = 256
_STILL: Final = 1e-5
_LEAST: Final = 1e-3
_BESIDE: Final = 64
_ROUNDS: Final = 4


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
    """Principal axes of standardised rows float32 [n, m], always the same; where fewer vary, the rest are zero.

    By subspace iteration from a random start (Halko, Martinsson and Tropp, SIAM Review 2011, algorithm 4.4).
    """
    mean, scale = x.mean(axis=0), x.std(axis=0) + np.float32(_STILL)
    standard = (x - mean) / scale
    size = min(width + _BESIDE, *x.shape)
    basis = np.random.default_rng(0).standard_normal((x.shape[1], size)).astype(np.float32)
    for _ in range(_ROUNDS):
        basis = np.linalg.qr(standard.T @ (standard @ basis))[0]
    _, values, turn = np.linalg.svd(standard @ basis, full_matrices=False)
    spread = (values / np.sqrt(len(x)))[:width].astype(np.float32)
    kept = int((spread > spread[0] * _LEAST).sum())
    axes = (basis @ turn.T)[:, :kept]
    axes *= np.where(axes[np.abs(axes).argmax(axis=0), np.arange(kept)] < 0, np.float32(-1), np.float32(1))
    blank = (0, width - kept)
    return Axes(
        mean.astype(np.float32),
        scale,
        np.pad(axes, ((0, 0), blank)),
        np.pad(spread[:kept], blank, constant_values=1),
    )
