"""How far a policy goes from the one that wrote the log, and mixing it back until that is near enough. Pure.

Three measures, each a mean over decisions: the share of probability on what was hardly ever tried (logged probability
below `RARE`), where the log cannot tell; the Kullback-Leibler divergence from the logged policy; and the share of the
log that would effectively speak for the policy, 1 / E_mu w^2, w = pi / mu.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from multimood.errors import ConfigurationError
from multimood.learning.network import Array, Mask, Network, model_of
from multimood.learning.taught import Taught
from multimood.ope.support import RARE

_TINY: Final = 1e-12
_HALVINGS: Final = 12
_SPARE: Final = 0.8
"""Bounds are kept by this factor on what was learned from, for other turns will lie a little further off."""


@dataclass(frozen=True, slots=True)
class Nearness:
    """Of a policy to the logged one."""

    rare: float
    divergence: float
    """KL(policy || logged), in nats."""
    ess_share: float

    def within(self, bounds: "Bounds") -> bool:
        """Near enough."""
        return (
            self.rare <= bounds.most_rare
            and self.divergence <= bounds.most_divergence
            and self.ess_share >= bounds.least_ess_share
        )


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a learned policy keeps to."""

    most_rare: float = 0.01
    """The gate's own limit (`multimood.ope.Limits.most_unsupported`)."""
    most_divergence: float = 2.0
    least_ess_share: float = 0.05

    @property
    def with_room(self) -> "Bounds":
        """Somewhat tighter."""
        return Bounds(self.most_rare * _SPARE, self.most_divergence * _SPARE, self.least_ess_share / _SPARE)


def nearness(policy: Array, behaviour: Array, eligible: Mask) -> Nearness:
    """Measure a policy [n, k] beside the logged one [n, k]."""
    logged = np.maximum(behaviour, _TINY)
    apart = np.where(policy > 0, policy * np.log(np.maximum(policy, _TINY) / logged), 0.0).sum(axis=1)
    squares = np.where(eligible, policy**2 / logged, 0.0).sum(axis=1)
    rare = np.where(eligible & (behaviour < RARE), policy, 0.0).sum(axis=1)
    return Nearness(float(rare.mean()), float(apart.mean()), float(1 / squares.mean()))


def kept_near(network: Network, taught: Taught, bounds: Bounds) -> tuple[Network, Nearness]:
    """The network with the least share of the fusion model's own distribution that keeps it within bounds.

    Raises ConfigurationError when not even that distribution by itself is.
    """
    own = replace(network, keep=0.0).probabilities(taught.state, taught.eligible)
    model = model_of(taught.state, taught.eligible, network.state_version)

    def at(keep: float) -> Nearness:
        return nearness((1 - keep) * own + keep * model, taught.behaviour, taught.eligible)

    if at(network.keep).within(bounds):
        return network, at(network.keep)
    tight, low, high = bounds.with_room, network.keep, 1.0
    if not at(high).within(tight):
        raise ConfigurationError(
            f"nothing near the logged policy can be served: even the fusion model's own distribution is at {at(high)}, "
            f"and {bounds} was asked for; log with more exploration, or allow more (--most-divergence)"
        )
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if at(middle).within(tight) else (middle, high)
    return replace(network, keep=high), at(high)
