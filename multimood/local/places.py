"""Where `make setup` puts things, and where the embedded mode keeps its state."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from multimood.errors import ConfigurationError

_CHECKOUT: Final = Path(__file__).resolve().parents[2]


def checkout() -> Path:
    """Give the folder that `make setup` was run in; MULTIMOOD_HOME overrides it for an installed package."""
    home = Path(os.environ.get("MULTIMOOD_HOME", _CHECKOUT)).resolve()
    if not (home / "pyproject.toml").is_file():
        raise ConfigurationError(
            f"{home} is no checkout of multimood: set MULTIMOOD_HOME to one where `make setup` ran"
        )
    return home


def tools() -> Path:
    """Everything set-up fetched that is not a Python package of `.venv`."""
    return checkout() / ".tools"


def installed(path: Path) -> Path:
    """Give the path itself, if set-up has made it.

    Raises:
        ConfigurationError: it is missing.
    """
    if not path.exists():
        raise ConfigurationError(f"{path} is missing: run `make setup`")
    return path


@dataclass(frozen=True)
class DataFolder:
    """One embedded system's state: safe to delete when the system is down, and never shared by two of them."""

    root: Path

    @cached_property
    def run(self) -> Path:
        """State of the running system and its secrets; readable by the owner only."""
        return self._private("run")

    @cached_property
    def logs(self) -> Path:
        """One file per part. The broker and the store keep no content in theirs; the services never log any."""
        return self._private("logs")

    @property
    def state(self) -> Path:
        """What runs where, rewritten at every change."""
        return self.run / "state.json"

    @property
    def lock(self) -> Path:
        """Held by the supervisor for as long as it lives."""
        return self.run / "lock"

    @property
    def api_key(self) -> Path:
        """The key of the local command line, made by the gateway at its first start."""
        return self.run / "api_key"

    @property
    def gateway_keys(self) -> Path:
        """The gateway's hashed API keys."""
        return self.root / "gateway" / "keys.json"

    @property
    def master_key(self) -> Path:
        """What wraps every person's key; made with the folder, readable by the owner only."""
        return self.root / "keys" / "master_key"

    @property
    def kafka(self) -> Path:
        """The broker's configuration and log segments."""
        return self.root / "kafka"

    @property
    def store(self) -> Path:
        """The store's objects and credentials."""
        return self.root / "store"

    @property
    def models(self) -> Path:
        """Triton's model repository; the policies that were promoted are nowhere else."""
        return self.root / "models"

    @property
    def telemetry(self) -> Path:
        """Spans as JSON lines, one file per service."""
        return self.root / "telemetry"

    def log(self, name: str) -> Path:
        """Log file of a part."""
        return self.logs / f"{name}.log"

    def _private(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder
