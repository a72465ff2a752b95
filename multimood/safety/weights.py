"""Trained weights as they ship: named arrays in one file, an edition among them."""

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from multimood import assets
from multimood.errors import ConfigurationError

Arrays: TypeAlias = Mapping[str, NDArray[Any]]
T = TypeVar("T")


def read_weights(kind: str, path: Path | None, what: str, of: Callable[[Arrays], T]) -> tuple[T, str]:
    """Give what `of` makes of the shipped `<kind>.npz`, or of an operator's own file, and the file's version.

    `what` is what the file should hold; `multimood train <kind>` makes one.

    Raises:
        ConfigurationError: the file cannot be read, or `of` missed an array or could not use one.
    """
    asset = f"{kind}.npz"
    raw = assets.read(asset, path)
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
            return of(arrays), assets.version(kind, str(arrays["edition"]), raw)
    except (ValueError, TypeError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"{path or asset} holds no {what}: make one with `multimood train {kind}`") from error
