"""Logged data as arrays: what the estimators read. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Names = NDArray[np.str_]

FORCED: Final = "override"
"""The action of a turn where nobody chose (a crisis, no verdict): the only eligible one there, under every policy."""
NO_HOLE: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Log:
    """`n` turns, those of a conversation together and in order; `d` features, `k` actions.

    A turn with the action `FORCED` takes part in trajectories, with ratio 1; it is no decision to be evaluated.
    """

    actions: tuple[str, ...]
    """Names of the actions: strategies that were eligible somewhere, and `FORCED` if it occurs."""
    features: tuple[str, ...]
    """Names of the contexts' columns."""
    contexts: Floats
    """[n, d]: what a policy may look at."""
    chosen: Ints
    """[n]: index of the action that was taken."""
    behaviour: Floats
    """[n, k]: the behaviour policy's distribution; 0 where not eligible, each row sums to 1."""
    eligible: Bools
    """[n, k]."""
    rewards: Floats
    """[n]; NaN: not known."""
    fit: Bools
    """[n]: the action is the policy's own sample and was carried out."""
    conversation: Ints
    """[n]: number of the conversation, ascending."""
    step: Ints
    """[n]: number of the turn in its conversation, from 0; -1: not known."""
    slices: Mapping[str, Names]
    """Name of a slice to the value of each turn [n]."""
    hole: Ints | None = None
    """[n]: in the turn's conversation the first step whose decision is not known, although a row tells of it; `NO_HOLE`
    where there is none."""
    state: Floats | None = None
    """[n, s]: what the served policy saw, as numbers, 0 where nobody could choose; None: not every turn has it."""
    state_version: str = ""
    """Names the list of features that `state` is (`multimood.perception.state`); empty: not told."""
    oracle: Floats | None = None
    """[n, k]: expected reward of each action, known of a simulator only; NaN where not known."""

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def covariates(self) -> Floats:
        """[n, c]: what regressions condition on: the state where it is known, else the contexts."""
        return self.contexts if self.state is None else self.state

    @property
    def conversations(self) -> int:
        """How many there are."""
        return len(np.unique(self.conversation))

    @property
    def propensity(self) -> Floats:
        """[n]: the behaviour policy's probability of the action that was taken."""
        return picked(self.behaviour, self.chosen)

    def take(self, rows: Bools | Ints) -> Self:
        """The same of some turns: a mask [n], or their numbers in ascending order."""
        optional = (name for name in ("hole", "state", "oracle") if getattr(self, name) is not None)
        names = ("contexts", "chosen", "behaviour", "eligible", "rewards", "fit", "conversation", "step", *optional)
        arrays: dict[str, Any] = {name: getattr(self, name)[rows] for name in names}
        return replace(self, **arrays, slices={name: values[rows] for name, values in self.slices.items()})

    def decisions(self) -> Self:
        """The turns that can be evaluated one by one: fit, with a reward."""
        return self.take(self.fit & np.isfinite(self.rewards))


def picked(table: Floats, chosen: Ints) -> Floats:
    """From each row of `table` [n, k] the value at `chosen` [n]."""
    values: Floats = np.take_along_axis(table, chosen[:, None], axis=1)[:, 0]
    return values
