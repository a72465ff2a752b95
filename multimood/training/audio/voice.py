"""What a voice says: the heads on the audio encoder's embedding, and the file they share with its adapter."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from multimood import assets
from multimood.errors import ConfigurationError
from multimood.graphs.adapter import FILE, REMEDY, Adapter
from multimood.taxonomy import EMOTIONS
from multimood.training.heads import Floats, Network
from multimood.training.kept import arrays_of, network_of

EDITION: Final = "2026.11"
INTENSITIES: Final = ("strong", "normal")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How even the embedding was made, and how strong the head on it."""

    evenness: float
    strength: float

    def __str__(self) -> str:
        return f"evenness {self.evenness:g}, strength {self.strength:g}"


@dataclass(frozen=True, slots=True)
class Voice:
    """Heads on an embedding float32 [n, d], which counts only within `bounds` ([2, d]: lowest, highest).

    `emotion` gives logits over EMOTIONS, `arousal` over INTENSITIES. Emotion logits are divided by `temperature` for
    unknown speakers of the corpora in training, by `far_temperature` for speakers of unknown corpora.
    """

    emotion: Network
    arousal: Network
    bounds: Floats
    temperature: float
    far_temperature: float
    recipe: Recipe
    version: str = ""

    @property
    def width(self) -> int:
        """Length d of an embedding."""
        return int(self.bounds.shape[1])

    def logits(self, embedding: Floats) -> Floats:
        """Emotion logits before any temperature: [n, d] -> [n, 8]."""
        return self.emotion.logits(embedding.clip(*self.bounds))


def write_voice(path: Path, adapter: Adapter, voice: Voice) -> None:
    """Write adapter and heads into one file."""
    np.savez_compressed(
        path, edition=np.str_(EDITION), mean=adapter.mean, scale=adapter.scale,
        projection=adapter.projection.astype(np.float16), bounds=voice.bounds,
        temperatures=np.array([voice.temperature, voice.far_temperature], np.float32),
        recipe=np.array([voice.recipe.evenness, voice.recipe.strength]),
        **arrays_of("emotion", voice.emotion), **arrays_of("arousal", voice.arousal),
    )  # fmt: skip


def read_voice(path: Path | None = None) -> Voice:
    """Read the shipped heads, or those of a file that `multimood train audio` made.

    Raises:
        ConfigurationError: the file cannot be read, or holds no such heads.
    """
    content = assets.read(FILE, path)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return _voice_of(arrays, assets.version("voice", str(arrays["edition"]), content))
    except (TypeError, IndexError, ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"{path or FILE} holds no voice heads ({error}): {REMEDY}") from error


def _voice_of(arrays: Mapping[str, NDArray[Any]], version: str) -> Voice:
    bounds, temperatures = arrays["bounds"], arrays["temperatures"]
    width = arrays["projection"].shape[1]
    if bounds.shape != (2, width) or temperatures.shape != (2,) or not (temperatures > 0).all():
        raise ValueError(f"bounds {bounds.shape}, temperatures {temperatures}")
    near, far = map(float, temperatures)
    emotion = network_of("emotion", arrays, width, len(EMOTIONS))
    arousal = network_of("arousal", arrays, width, len(INTENSITIES))
    return Voice(emotion, arousal, bounds, near, far, Recipe(*map(float, arrays["recipe"])), version)
