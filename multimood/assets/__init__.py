"""What ships besides code: rules, vetted texts, rubric, weights; each with a content-addressed version."""

import hashlib
import tomllib
from importlib import resources
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from multimood.errors import ConfigurationError

Content = TypeVar("Content", bound=BaseModel)


def read(name: str, override: Path | None = None) -> bytes:
    """Read the bytes of the shipped asset `name`, or of the operator's own file.

    Raises:
        ConfigurationError: there is no such file.
    """
    try:
        if override is not None:
            return override.read_bytes()
        return resources.files(__name__).joinpath(name).read_bytes()
    except OSError as error:
        place = override or name
        raise ConfigurationError(f"asset {place} cannot be read ({error.strerror}): give a readable file") from error


def read_toml(shape: type[Content], name: str, override: Path | None = None) -> tuple[Content, bytes]:
    """Read a TOML asset of the given shape, or the operator's own file; gives its content, and its bytes for `version`.

    Raises:
        ConfigurationError: it cannot be read, is not TOML (the message names the line), or is not of that shape (the
            message names the first fault's place in it).
    """
    raw = read(name, override)
    place = override or name
    try:
        return shape.model_validate(tomllib.loads(raw.decode())), raw
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{place} is not a TOML file: {error}") from error
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise ConfigurationError(": ".join((str(place), *_where(first["loc"]), first["msg"]))) from error


def _where(keys: tuple[int | str, ...]) -> tuple[str, ...]:
    """The place of a fault within a file; nothing for one of the whole file."""
    return (".".join(map(str, keys)),) if keys else ()


def version(kind: str, edition: str, *contents: bytes) -> str:
    """`<kind>-<edition>-<8 hex>`: the edition a person gave, and a hash that changes with every byte."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
    return f"{kind}-{edition}-{digest.hexdigest()[:8]}"
