"""From the model's distribution to the executed strategy: who is eligible, exploration, a repeatable draw. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from multimood.eligibility import allowed
from multimood.perception.fusion import Taxonomy
from multimood.perception.state import STRATEGIES
from services.strategist.exploration import Exploration

_BITS: Final = 53


@dataclass(frozen=True, slots=True)
class Choice:
    """The behaviour policy at this moment and what was drawn from it."""

    strategy: Mapping[str, float]
    """Over the eligible strategies; sums to 1."""
    chosen: str
    propensity: float
    """Of `chosen`, > 0."""
    explored: bool
    """The choice is one that exploration added to the model's own."""


def eligible(taxonomy: Taxonomy, step: int) -> tuple[str, ...]:
    """The strategies that may be chosen in the person's turn number `step` (from 0)."""
    return allowed(STRATEGIES[taxonomy], step)


def choose(model: Mapping[str, float], taxonomy: Taxonomy, step: int, exploration: Exploration, seed: str) -> Choice:
    """Draw a strategy. The same arguments always give the same choice."""
    behaviour = exploration.behaviour(model, eligible(taxonomy, step))
    chosen = draw(behaviour.strategy, seed)
    explored = point(f"{seed}\nexplored") < behaviour.added[chosen]
    return Choice(behaviour.strategy, chosen, behaviour.strategy[chosen], explored)


def draw(distribution: Mapping[str, float], seed: str) -> str:
    """Draw a label by the inverse of the cumulative distribution, at the seed's point; never one of probability 0."""
    possible = {label: p for label, p in distribution.items() if p > 0}
    at, passed = point(seed), accumulate(possible.values())
    # The last label stands in should rounding have left the sum a hair below the point.
    return next((label for label, end in zip(possible, passed, strict=True) if at < end), tuple(possible)[-1])


def point(seed: str) -> float:
    """A point in [0, 1), made of the seed by SHA-256."""
    return (int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8]) >> (64 - _BITS)) / (1 << _BITS)
