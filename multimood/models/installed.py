"""What of the manifest is here, and whether it is what was shipped."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from multimood.models.shipped import Model

State = Literal["ok", "changed", "missing"]

PACKAGES: Final = ".venv-triton/lib/python3*/site-packages"
"""Of the Triton server, below the checkout."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file of a model as it is here; `sha256` and `bytes` are empty and 0 where it is not."""

    file: str
    state: State
    sha256: str
    bytes: int


def _place_of(home: Path, file: str) -> Path | None:
    """Where a file of the manifest lies below the checkout; None if it is not there."""
    package, colon, inside = file.rpartition(":")
    places = sorted(home.glob(f"{PACKAGES}/{package}/{inside}")) if colon else [home / file]
    return next((place for place in places if place.is_file()), None)


def look(home: Path, model: Model) -> Sequence[Found]:
    """Compare each file of a model with what was recorded."""
    return [_found(home, file, wanted) for file, wanted in model.files.items()]


def _found(home: Path, file: str, wanted: str) -> Found:
    place = _place_of(home, file)
    if place is None:
        return Found(file, "missing", "", 0)
    with place.open("rb") as data:
        digest = hashlib.file_digest(data, "sha256").hexdigest()
    return Found(file, "ok" if digest == wanted else "changed", digest, place.stat().st_size)
