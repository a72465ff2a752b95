"""What a face says: the heads on pictures and on action units, the rule beside a voice, and the file they share."""

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
from multimood.taxonomy import EMOTIONS
from multimood.training.heads import Floats, Network
from multimood.training.kept import arrays_of, network_of
from multimood.training.video.rule import Rule
from multimood.training.video.units import UnitsHead, Usual

FILE: Final = "video_adapter.npz"
EDITION: Final = "2026.11"
WIDTH: Final = 512
REMEDY: Final = "make one with `multimood train video`"


@dataclass(frozen=True, slots=True)
class Face:
    """`emotion` gives logits over EMOTIONS from an embedding float32 [n, 512], which counts only within `bounds`.

    `bounds` are [2, 512]: lowest, highest. Logits are divided by `temperature` for unknown faces of the corpus in
    training. `units` reads facial action units; `rule` says how that and a voice count together, `rule_of_shares` the
    same of the face model of others whose probabilities come with the pairs.
    """

    emotion: Network
    bounds: Floats
    temperature: float
    units: UnitsHead
    rule: Rule
    rule_of_shares: Rule
    version: str = ""

    def logits(self, embedding: Floats) -> Floats:
        """Emotion logits before the temperature: [n, 512] -> [n, 8]."""
        return self.emotion.logits(embedding.clip(*self.bounds))


def write_face(path: Path, face: Face) -> None:
    """Write everything into one file."""
    usual = face.units.usual
    np.savez_compressed(
        path, edition=np.str_(EDITION), bounds=face.bounds, temperature=np.float32(face.temperature),
        names=np.array(face.units.names), mean=usual.mean, deviation=usual.deviation, takes=np.float32(usual.takes),
        rule=face.rule.array, rule_of_shares=face.rule_of_shares.array,
        **arrays_of("emotion", face.emotion), **arrays_of("units", face.units.network),
    )  # fmt: skip


def read_face(path: Path | None = None) -> Face:
    """Read the shipped heads, or those of a file that `multimood train video` made.

    Raises:
        ConfigurationError: the file cannot be read, or holds no such heads.
    """
    content = assets.read(FILE, path)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return _face_of(arrays, assets.version("face", str(arrays["edition"]), content))
    except (TypeError, ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"{path or FILE} holds no heads of faces ({error}): {REMEDY}") from error


def _face_of(arrays: Mapping[str, NDArray[Any]], version: str) -> Face:
    names = tuple(map(str, arrays["names"]))
    usual = Usual(arrays["mean"], arrays["deviation"], float(arrays["takes"]))
    if usual.mean.shape != (len(names),) or usual.deviation.shape != (len(names),) or not usual.takes > 0:
        raise ValueError(f"{len(names)} units, means {usual.mean.shape}, deviations {usual.deviation.shape}")
    bounds, temperature = arrays["bounds"], float(arrays["temperature"])
    if bounds.shape != (2, WIDTH) or not temperature > 0:
        raise ValueError(f"bounds {bounds.shape}, temperature {temperature}")
    return Face(
        network_of("emotion", arrays, WIDTH, len(EMOTIONS)),
        bounds,
        temperature,
        UnitsHead(names, usual, network_of("units", arrays, len(names), len(EMOTIONS))),
        Rule(*map(float, arrays["rule"])),
        Rule(*map(float, arrays["rule_of_shares"])),
        version,
    )
