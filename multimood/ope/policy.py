"""Target policies: from what can be seen in a turn to a distribution over its eligible actions. Pure."""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from multimood.errors import ConfigurationError
from multimood.ope.log import FORCED, Bools, Floats

SLACK: Final = 1e-6


class Turns(Protocol):
    """What a policy looks at: `n` turns, `d` features, `k` actions. A `Log` is one."""

    @property
    def actions(self) -> tuple[str, ...]:
        """Names of the k actions."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the d features."""

    @property
    def contexts(self) -> Floats:
        """[n, d]."""

    @property
    def state(self) -> Floats | None:
        """[n, s]: the state that the policy that is served saw; None: not known of every turn."""

    @property
    def state_version(self) -> str:
        """Which list of features that is."""

    @property
    def behaviour(self) -> Floats:
        """[n, k]: the behaviour policy's distribution."""

    @property
    def eligible(self) -> Bools:
        """[n, k]."""


class Policy(Protocol):
    """A way to choose."""

    @property
    def name(self) -> str:
        """How it is called in reports."""

    def probabilities(self, turns: Turns) -> Floats:
        """[n, k]: 0 where not eligible, each row sums to 1."""


def target(policy: Policy, turns: Turns) -> Floats:
    """The policy's distribution [n, k], checked.

    Raises ConfigurationError when it is none: another shape, not finite, negative, or on what is not eligible.
    """
    found = policy.probabilities(turns)
    if found.shape != turns.eligible.shape:
        raise ConfigurationError(f"policy {policy.name} gives shape {found.shape}, not {turns.eligible.shape}")
    wrong = ~np.isfinite(found) | (found < 0) | ((found > 0) & ~turns.eligible)
    wrong_rows = wrong.any(axis=1) | ~(np.abs(found.sum(axis=1) - 1) <= SLACK)
    if wrong_rows.any():
        row = int(np.argmax(wrong_rows))
        raise ConfigurationError(
            f"policy {policy.name} gives no distribution over the eligible actions in turn {row} (sum "
            f"{found[row].sum():.6g}): probabilities must be 0 where not eligible and sum to 1"
        )
    return found


@dataclass(frozen=True, slots=True)
class Logged:
    """The behaviour policy itself: its value is known from the log without any correction."""

    name: str = "logged"

    def probabilities(self, turns: Turns) -> Floats:
        """[n, k]."""
        return turns.behaviour


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every eligible action alike."""

    name: str = "uniform"

    def probabilities(self, turns: Turns) -> Floats:
        """[n, k]."""
        return over(turns.eligible.astype(float), turns.eligible)


@dataclass(frozen=True, slots=True)
class Greedy:
    """What the behaviour policy finds likeliest, the first of equals: that policy without its exploration."""

    name: str = "greedy"

    def probabilities(self, turns: Turns) -> Floats:
        """[n, k]."""
        best = np.where(turns.eligible, turns.behaviour, -1.0).argmax(axis=1)
        only: Floats = np.eye(len(turns.actions))[best]
        return only


@dataclass(frozen=True, slots=True)
class OneStrategy:
    """One strategy wherever it is eligible; elsewhere as it was logged."""

    strategy: str

    @property
    def name(self) -> str:
        """How it is called in reports."""
        return f"strategy:{self.strategy}"

    def probabilities(self, turns: Turns) -> Floats:
        """[n, k]. Raises ConfigurationError when the strategy was never eligible."""
        if self.strategy not in turns.actions:
            known = ", ".join(name for name in turns.actions if name != FORCED)
            raise ConfigurationError(f"strategy {self.strategy!r} was never eligible in this log: it has {known}")
        only = np.zeros(turns.eligible.shape)
        only[:, turns.actions.index(self.strategy)] = 1.0
        return np.where((only * turns.eligible).any(axis=1, keepdims=True), only, turns.behaviour)


@dataclass(frozen=True, slots=True)
class Mixed:
    """With probability `share` the second policy, else the first."""

    first: Policy
    second: Policy
    share: float

    @property
    def name(self) -> str:
        """How it is called in reports."""
        return f"{1 - self.share:g} {self.first.name} + {self.share:g} {self.second.name}"

    def probabilities(self, turns: Turns) -> Floats:
        """[n, k]."""
        return (1 - self.share) * self.first.probabilities(turns) + self.share * self.second.probabilities(turns)


def epsilon_soft(policy: Policy, epsilon: float) -> Policy:
    """(1 - epsilon) of the policy, epsilon of uniform (Sutton and Barto 2018, section 5.4)."""
    return Mixed(policy, Uniform(), _share(epsilon, "epsilon")) if epsilon else policy


def near_logged(policy: Policy, share: float) -> Policy:
    """`share` of the logged policy, the rest of this one: a step towards it that the log can still tell about."""
    return Mixed(policy, Logged(), _share(share, "keep")) if share else policy


def over(scores: Floats, eligible: Bools) -> Floats:
    """Scale scores [n, k], not negative, to distributions over the eligible actions; uniform where all are 0."""
    kept = np.where(eligible, scores, 0.0)
    total = kept.sum(axis=1, keepdims=True)
    share = eligible / np.maximum(eligible.sum(axis=1, keepdims=True), 1)
    return np.where(total > 0, kept / np.where(total > 0, total, 1.0), share)


def _share(value: float, what: str) -> float:
    if not 0 <= value <= 1:
        raise ConfigurationError(f"{what} is {value:g}: give a number from 0 to 1")
    return value
