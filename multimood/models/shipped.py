"""The manifest: `multimood/assets/models.json`, one entry a model, written by `multimood models record`. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from typing import Final

from multimood import assets
from multimood.errors import NotFoundError

FILE: Final = "models.json"


@dataclass(frozen=True, slots=True)
class Model:
    """A model. `files` gives the SHA-256 of each of its files.

    A file is named by its path from the checkout's root; one inside a package of the Triton server's environment as
    `package:path`.
    """

    name: str
    about: str
    source: str
    licence: str
    card: str
    files: Mapping[str, str]

    def with_digests(self, files: Mapping[str, str]) -> "Model":
        """The same model, made of other bytes."""
        return replace(self, files=dict(files))


def manifest() -> tuple[Model, ...]:
    """The models of this version."""
    return parse(files(assets).joinpath(FILE).read_text(encoding="utf-8"))


def recorded(name: str) -> Model:
    """One of them.

    Raises:
        NotFoundError: this version ships no such model.
    """
    models = manifest()
    for model in models:
        if model.name == name:
            return model
    raise NotFoundError(f"no model {name!r} is shipped; there are {', '.join(model.name for model in models)}")


def parse(text: str) -> tuple[Model, ...]:
    """Read a manifest."""
    return tuple(Model(**entry) for entry in json.loads(text))


def dump(models: Sequence[Model]) -> str:
    """Write a manifest, the same bytes for the same models."""
    return json.dumps([asdict(model) for model in models], indent=2, ensure_ascii=False) + "\n"
