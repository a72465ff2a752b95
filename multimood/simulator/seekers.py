"""The hidden state of seekers and how a strategy moves it. Arrays of many seekers at once; pure but for the generator.

distress' = distress - D (relief + heard A + ready (R - 1/2) - push r) + noise, where A is alliance, R readiness,
r = resistance (1 - A) what is left of the seeker's resistance, and D = 0.4 + 0.6 distress: who suffers more can be
relieved more. A turn changes distress by 0.2 at most. The reward of a turn is 1/2 + relief / 0.4, in 0..1.
"""

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from scipy.stats import norm

from multimood.ope.log import Floats, Ints
from multimood.simulator.profiles import PROFILES, ROLES

MOST_CHANGE: Final = 0.2
NOISE: Final = 0.02
SPREAD: Final = 0.10
"""How far seekers of one profile differ at the beginning."""
RESTLESS: Final = 0.02
"""Probability of leaving after a turn for reasons of their own."""
PATIENCE: Final = 0.35
"""Below this alliance, seekers leave the sooner the less there is of it."""

_RESISTANCE: Final = np.array([profile.resistance for profile in PROFILES])
_OPENNESS: Final = np.array([profile.openness for profile in PROFILES])


@dataclass(frozen=True, slots=True)
class Seekers:
    """`n` seekers; every array is [n]."""

    profile: Ints
    """Index into `PROFILES`."""
    role: Ints
    """Index into `ROLES`."""
    distress: Floats
    alliance: Floats
    readiness: Floats

    def __len__(self) -> int:
        return len(self.profile)

    @classmethod
    def arrive(cls, count: int, rng: np.random.Generator) -> Self:
        """New ones, by the profiles' shares."""
        profile = rng.choice(len(PROFILES), count, p=[one.share for one in PROFILES])
        means = np.array([[one.distress, one.alliance, one.readiness] for one in PROFILES])
        begun = np.clip(means[profile] + SPREAD * rng.standard_normal((count, 3)), 0.05, 0.95)
        return cls(profile, rng.integers(len(ROLES), size=count), *begun.T)

    def take(self, which: object) -> Self:
        """Some of them."""
        return type(self)(*(getattr(self, name)[which] for name in self.__slots__))

    @property
    def resistance(self) -> Floats:
        """What is left of it: trust disarms."""
        return _RESISTANCE[self.profile] * (1 - self.alliance)

    @property
    def openness(self) -> Floats:
        """Of the profile."""
        return _OPENNESS[self.profile]

    def relief(self, effects: Floats) -> Floats:
        """Expected fall of distress [n, k] before limits, by each of `effects` [k, 6] (`effects.table`)."""
        state = np.stack([np.ones(len(self)), self.alliance, self.readiness - 0.5, -self.resistance], axis=1)
        return (0.4 + 0.6 * self.distress)[:, None] * (state @ effects[:, :4].T)

    def expected_rewards(self, effects: Floats) -> Floats:
        """[n, k]: exactly, the noise and its limits integrated over."""
        top = np.minimum(MOST_CHANGE, self.distress)[:, None]
        bottom = np.maximum(-MOST_CHANGE, self.distress - 1)[:, None]
        return rewards(_censored_mean(self.relief(effects), bottom, top))

    def respond(self, effects: Floats, rng: np.random.Generator) -> tuple[Self, Floats]:
        """The seekers after what was done to each (`effects` [n, 6]), and their rewards [n]."""
        after = self.moved(effects, NOISE * rng.standard_normal((3, len(self))))
        return after, rewards(self.distress - after.distress)

    def moved(self, effects: Floats, noise: Floats) -> Self:
        """The seekers after what was done to each; `noise` [3, n] is that of relief, alliance and readiness."""
        relief, heard, ready, push, bond, opens = effects.T
        relieved = (0.4 + 0.6 * self.distress) * (
            relief + heard * self.alliance + ready * (self.readiness - 0.5) - push * self.resistance
        )
        grown = bond * (1 - self.alliance) - 0.5 * push * self.resistance
        opened = opens * self.openness * (1 - self.readiness)
        return replace(
            self,
            distress=np.clip(self.distress - np.clip(relieved + noise[0], -MOST_CHANGE, MOST_CHANGE), 0, 1),
            alliance=np.clip(self.alliance + grown + noise[1], 0, 1),
            readiness=np.clip(self.readiness + opened + noise[2], 0, 1),
        )

    def leaving(self) -> Floats:
        """[n]: probability that the conversation ends here."""
        return np.clip(RESTLESS + np.maximum(0, PATIENCE - self.alliance), 0, 1)


def rewards(relief: Floats) -> Floats:
    """Relief of -0.2..0.2 as a reward of 0..1."""
    return 0.5 + relief / (2 * MOST_CHANGE)


def _censored_mean(mean: Floats, low: Floats, high: Floats) -> Floats:
    """E of a normal variable with standard deviation `NOISE`, moved to the limits where it is beyond them."""
    a, b = (low - mean) / NOISE, (high - mean) / NOISE
    inside = norm.cdf(b) - norm.cdf(a)
    found: Floats = low * norm.cdf(a) + high * norm.sf(b) + mean * inside + NOISE * (norm.pdf(a) - norm.pdf(b))
    return found
