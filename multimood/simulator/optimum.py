"""The best that anybody could do who sees the hidden state: a bound that no policy of what can be seen will pass.

Backward induction over a grid of (distress, alliance, readiness) for each profile and turn; between grid points values
are interpolated, noise in distress is a three-point quadrature, and that in the others is left at its mean. The policy
that comes of it is then played out (`value_of_conversations(..., informed=...)`), so what is reported is a value that
is attained, a hair below the true optimum for the coarseness of the grid.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from multimood.ope.log import Bools, Floats, Ints
from multimood.simulator.behaviour import eligible
from multimood.simulator.effects import table
from multimood.simulator.environment import Turn, World
from multimood.simulator.perceived import CRISIS
from multimood.simulator.profiles import PROFILES
from multimood.simulator.seekers import NOISE, Seekers

POINTS: Final = 15
_NODES: Final = NOISE * np.array([-np.sqrt(3.0), 0.0, np.sqrt(3.0)])
_SHARES: Final = np.array([1, 4, 1]) / 6
"""Gauss-Hermite, exact for polynomials up to degree 5."""


@dataclass(frozen=True, slots=True)
class Optimum:
    """A leader of conversations (`environment.Leader`) who knows the hidden state and looks ahead."""

    world: World
    discount: float
    values: Floats
    """[turns + 1, profiles, POINTS, POINTS, POINTS]: what is still to be earned from a state on, before its turn."""

    @classmethod
    def of(cls, world: World, discount: float = 1.0) -> Self:
        """Solve it: some seconds."""
        axis = np.linspace(0, 1, POINTS)
        grid = np.stack([part.ravel() for part in np.meshgrid(axis, axis, axis, indexing="ij")])
        values = np.zeros((world.turns + 1, len(PROFILES), POINTS, POINTS, POINTS))
        for step in reversed(range(world.turns)):
            for profile in range(len(PROFILES)):
                count = grid.shape[1]
                seekers = Seekers(np.full(count, profile), np.zeros(count, np.int64), *grid)
                offered = eligible(world.actions, step, seekers.distress > CRISIS)
                best = _worth(world, seekers, values[step + 1], discount, offered).max(axis=1)
                values[step, profile] = best.reshape(POINTS, POINTS, POINTS)
        return cls(world, discount, values)

    def __call__(self, turn: Turn) -> Ints:
        """Choose for each seeker."""
        worth = _worth(self.world, turn.seekers, self.values[turn.step + 1], self.discount, turn.eligible)
        best: Ints = worth.argmax(axis=1)
        return best


def _worth(world: World, seekers: Seekers, later: Floats, discount: float, offered: Bools) -> Floats:
    """[n, k]: expected reward and what follows, -inf where not eligible; `later` [profiles, ...] is a grid."""
    effects = table(world.actions)
    worth = seekers.expected_rewards(effects)
    for number in range(len(world.actions)):
        each = np.repeat(effects[number : number + 1], len(seekers), axis=0)
        for share, noise in zip(_SHARES, _NODES, strict=True):
            after = seekers.moved(each, np.array([noise, 0.0, 0.0])[:, None])
            worth[:, number] += share * discount * (1 - after.leaving()) * _interpolated(later, after)
    return np.where(offered, worth, -np.inf)


def _interpolated(values: Floats, seekers: Seekers) -> Floats:
    axis = np.linspace(0, 1, POINTS)
    found = np.zeros(len(seekers))
    order = np.argsort(seekers.profile, kind="stable")
    ends = np.searchsorted(seekers.profile[order], np.arange(len(PROFILES) + 1))
    places = np.stack([seekers.distress, seekers.alliance, seekers.readiness], axis=1)
    for profile, (begin, end) in enumerate(pairwise(ends)):
        if end > begin:
            rows = order[begin:end]
            found[rows] = RegularGridInterpolator((axis, axis, axis), values[profile])(places[rows])
    return found
