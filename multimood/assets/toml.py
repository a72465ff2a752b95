"""Assets in TOML, checked against their shape. Apart from the others: what makes the models' graphs has no pydantic."""

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from multimood.assets import read
from multimood.errors import ConfigurationError

Content = TypeVar("Content", bound=BaseModel)


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
