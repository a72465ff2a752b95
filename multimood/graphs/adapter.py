"""The audio encoder's last step: many raw values of a sound, standardised and projected to an embedding."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from multimood import assets
from multimood.graphs.weights import Array, WeightsError

FILE: Final = "audio_adapter.npz"
REMEDY: Final = "make one with `multimood train audio`"


@dataclass(frozen=True, slots=True)
class Adapter:
    """embedding = ((raw - mean) / scale) projection: mean and scale float32 [n], projection float32 [n, d]."""

    mean: Array
    scale: Array
    projection: Array

    def __call__(self, raw: Array) -> Array:
        """Adapt float32 [rows, n] to float32 [rows, d]."""
        adapted: Array = (((raw - self.mean) / self.scale) @ self.projection).astype(np.float32)
        return adapted


def read_adapter(path: Path | None = None) -> Adapter:
    """Read the shipped adapter, or one made by `multimood train audio`.

    Raises:
        WeightsError: the file holds no adapter.
        ConfigurationError: it cannot be read.
    """
    content = assets.read(FILE, path)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            mean, scale, projection = (arrays[name].astype(np.float32) for name in ("mean", "scale", "projection"))
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path or FILE} holds no adapter: {REMEDY}") from error
    if projection.ndim != 2 or mean.shape != scale.shape or mean.shape != projection.shape[:1]:  # noqa: PLR2004
        raise WeightsError(f"{path or FILE} holds {mean.shape}, {scale.shape}, {projection.shape}: {REMEDY}")
    if not (scale > 0).all():
        raise WeightsError(f"{path or FILE} divides by {scale.min()}: {REMEDY}")
    return Adapter(mean, scale, projection)
