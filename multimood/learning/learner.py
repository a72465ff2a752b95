"""What all learners have in common: what they are asked for, what they are given, and how they are watched."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from multimood.errors import ConfigurationError
from multimood.learning.nearness import Bounds
from multimood.learning.network import Network
from multimood.learning.taught import Taught
from multimood.ope.log import Log

Weighting: TypeAlias = Literal["dr", "ips"]
Advance = Callable[[str, int, int | None], None]
"""Told of progress: what is done, how much of it, of how much."""
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Settings:
    """How is learned; every learner takes what concerns it."""

    seed: int = 0
    gamma: float = 0.95
    """cql: what a reward counts a turn later."""
    caution: float = 0.2
    """What a nat of divergence from the logged policy costs, in standard deviations of the reward: bandit. The
    temperature of the softmax over Q, in the same unit: cql."""
    weighting: Weighting = "dr"
    """bandit: doubly robust, or importance weights alone."""
    steps: int = 6_000
    """cql: gradient steps."""
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        """Raise ConfigurationError for what makes no sense."""
        if not 0 <= self.gamma < 1:
            raise ConfigurationError(f"gamma is {self.gamma:g}: give a number from 0, below 1")
        if not self.caution > 0:
            raise ConfigurationError(f"caution is {self.caution:g}: give a number above 0; less dares more")
        if self.steps < 1:
            raise ConfigurationError(f"steps is {self.steps}: give at least 1")


class Watch(Protocol):
    """Keeps what a learner is at, so that one that was killed goes on where it was and ends with the same."""

    def kept(self) -> Arrays | None:
        """What was kept last; None: begin at the beginning."""

    def keep(self, arrays: Arrays) -> None:
        """Keep this instead, whole or not at all."""

    def advance(self, what: str, done: int, of: int | None) -> None:
        """Tell of progress."""


class Learner(Protocol):
    """Makes a policy of logged decisions. The same arguments give the same policy."""

    def __call__(self, whole: Log, taught: Taught, settings: Settings, watch: Watch) -> Network:
        """Learn. `whole` also has the turns that are no decisions, for who looks at conversations."""


@dataclass(frozen=True, slots=True)
class Unwatched:
    """Keeps nothing, tells nobody."""

    def kept(self) -> Arrays | None:
        """Nothing."""
        return None

    def keep(self, arrays: Arrays) -> None:
        """Let it go."""

    def advance(self, what: str, done: int, of: int | None) -> None:
        """Tell nobody."""


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read a checkpoint. Raises ConfigurationError when it is none."""
    try:
        with np.load(path, allow_pickle=False) as found:
            return dict(found)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigurationError(f"{path} is no checkpoint of a learner ({error}): delete it to begin anew") from None


POLICY_LEARNERS: Final = ("direct", "bandit", "cql")


def learner_of(name: str) -> Learner:
    """By name. Raises ConfigurationError for one that is not known, ModuleNotFoundError where cql's packages lack."""
    if name == "direct":
        from multimood.learning.direct import learn as direct  # noqa: PLC0415 - each needs its own packages

        return direct
    if name == "bandit":
        from multimood.learning.bandit import learn as bandit  # noqa: PLC0415

        return bandit
    if name == "cql":
        from multimood.learning.cql import learn as cql  # noqa: PLC0415

        return cql
    raise ConfigurationError(f"learner {name!r} is not known: use one of {', '.join(POLICY_LEARNERS)}")
