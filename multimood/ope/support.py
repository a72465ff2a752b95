"""Whether a log can answer: effective sample size, largest weight, and where the target goes and nobody went. Pure."""

from dataclasses import dataclass
from typing import Final, Literal, Self

import numpy as np

from multimood.ope.log import Bools, Floats

Reason = Literal["too_few", "no_reward", "unsupported", "small_ess", "one_weight", "unstable"]

RARE: Final = 0.005
"""A behaviour probability below which an action counts as one that was never tried: weights would be over 200."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is too thin to estimate from. The defaults are those of the coverage study in docs/ope.md."""

    least_turns: int = 100
    least_conversations: int = 30
    least_ess: float = 50.0
    """Effective sample size, of turns."""
    least_ess_share: float = 0.01
    """The same, of what there is."""
    least_ess_of_products: float = 100.0
    """The same where weights are products over turns, of conversations (`weighing.expected_size`)."""
    least_ess_share_of_products: float = 0.1
    most_unsupported: float = 0.01
    """Of the target's probability: on actions with a behaviour probability below `RARE`. With rewards of 0..1 it is
    also how far such actions can put an estimate off."""
    largest_share: float = 0.1
    """Of one weight in the sum of all."""


@dataclass(frozen=True, slots=True)
class Support:
    """How much of a log speaks about a target policy."""

    turns: int
    conversations: int
    ess: float
    ess_share: float
    largest_weight: float
    largest_share: float
    """Of the largest weight in the sum of all."""
    unsupported: float
    clipped: float

    @classmethod
    def of(
        cls, weights: Floats, target: Floats, behaviour: Floats, *, eligible: Bools, conversations: int,
        clipped: float = 0.0,
    ) -> Self:  # fmt: skip
        """`weights` [m] of turns or of conversations; the others [n, k] of turns."""
        total, most = float(weights.sum()), float(weights.max(initial=0.0))
        ess = effective_size(weights)
        rare = eligible & (behaviour < RARE)
        return cls(
            turns=len(target),
            conversations=conversations,
            ess=ess,
            ess_share=ess / len(weights) if len(weights) else 0.0,
            largest_weight=most,
            largest_share=most / total if total > 0 else 0.0,
            unsupported=float((target * rare).sum(axis=1).mean()) if len(target) else 0.0,
            clipped=clipped,
        )


def effective_size(weights: Floats) -> float:
    """(sum w)^2 / sum w^2 (Kish 1965): so many unweighted samples would vary as much."""
    squares = float(np.square(weights).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """No estimate, and why."""

    estimator: str
    reason: Reason
    message: str
    support: Support


def objection(
    estimator: str,
    support: Support,
    limits: Limits,
    rewards_missing: int,
    *,
    naive: bool = False,
    products: bool = False,
) -> Refusal | None:
    """Why an estimator must not answer, or None.

    `rewards_missing`: decisions without one; `naive`: it corrects nothing; `products`: its weights are products.
    """
    found = _thin(support, limits, rewards_missing)
    if found is None and not naive:
        found = _unsupported(support, limits) or _uneven(support, limits, products=products)
    return None if found is None else Refusal(estimator, *found, support)


def _thin(support: Support, limits: Limits, rewards_missing: int) -> tuple[Reason, str] | None:
    if support.turns == 0 and rewards_missing:
        return "no_reward", f"none of {rewards_missing} decisions has this reward: choose another one by --reward"
    if support.turns < limits.least_turns or support.conversations < limits.least_conversations:
        return "too_few", (
            f"{support.turns} turns in {support.conversations} conversations: at least {limits.least_turns} in "
            f"{limits.least_conversations} are needed"
        )
    return None


def _unsupported(support: Support, limits: Limits) -> tuple[Reason, str] | None:
    if support.unsupported > limits.most_unsupported:
        return "unsupported", (
            f"{support.unsupported:.1%} of the target's choices have a logged probability below {RARE:g}; at most "
            f"{limits.most_unsupported:.1%} may: explore more, or ask for a policy nearer to the logged one (--keep)"
        )
    return None


def _uneven(support: Support, limits: Limits, *, products: bool) -> tuple[Reason, str] | None:
    least = limits.least_ess_of_products if products else limits.least_ess
    least_share = limits.least_ess_share_of_products if products else limits.least_ess_share
    if support.ess < least or support.ess_share < least_share:
        return "small_ess", (
            f"effective sample size {support.ess:.1f} ({support.ess_share:.1%}); at least {least:g} and "
            f"{least_share:.0%} are needed: log more, or ask for a policy nearer to the logged one (--keep)"
        )
    if support.largest_share > limits.largest_share:
        return "one_weight", (
            f"one weight ({support.largest_weight:.1f}) is {support.largest_share:.1%} of the sum of all; at most "
            f"{limits.largest_share:.0%} may be: log more, or ask for a policy nearer to the logged one (--keep)"
        )
    return None
