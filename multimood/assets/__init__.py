"""What ships besides code: rules, vetted texts, rubric, weights; each with a content-addressed version."""

import hashlib
from importlib import resources
from pathlib import Path

from multimood.errors import ConfigurationError


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


def version(kind: str, edition: str, *contents: bytes) -> str:
    """`<kind>-<edition>-<8 hex>`: the edition a person gave, and a hash that changes with every byte."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
    return f"{kind}-{edition}-{digest.hexdigest()[:8]}"
