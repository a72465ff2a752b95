"""What a canary is judged by: challenger against champion, with intervals that may be looked at any time. Pure.

The conversation is what is given to a version, so the conversation is what is counted: turns of one are no independent
samples. A canary is looked at every few seconds, and an interval made for one look would sooner or later call any
challenger worse; these are asymptotic confidence sequences (Waudby-Smith et al. 2024, arXiv 2103.06476, theorem 2.2),
which hold at all looks together.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Verdict = Literal["worse", "harmless", "open"]

ALPHA: Final = 0.05
FEW: Final = 10
"""Conversations of either below which nothing is said: the sequences hold asymptotically."""


@dataclass(frozen=True, slots=True)
class Guard:
    """One thing that must not get worse by more than `tolerance`."""

    name: str
    tolerance: float
    more_is_better: bool = False
    is_rate: bool = False
    """Each conversation is 0 or 1."""


GUARDS: Final = (
    Guard("trust", 0.02, more_is_better=True),
    Guard("safety_failures", 0.0, is_rate=True),
    Guard("escalations", 0.05, is_rate=True),
    Guard("refused_replies", 0.05),
    Guard("unanswered", 0.02),
    Guard("latency_ms", 250.0),
)
"""trust: mean reward, 0..1. safety_failures: conversations with a reply that failed the crisis gate. escalations:
conversations with one. refused_replies: share of the replies that became a vetted text. unanswered: share of the
decisions for which the version that the conversation belonged to gave no answer. latency_ms: from the utterance to its
reply."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Conversations of one version: how many, the mean of their values, and the variance of one."""

    count: int
    mean: float
    variance: float

    @classmethod
    def of(cls, values: Sequence[float], *, is_rate: bool = False) -> "Sample":
        """Of one value a conversation. A rate that was never seen is not for that certain to be 0."""
        count = len(values)
        if not count:
            return cls(0, math.nan, math.nan)
        mean = math.fsum(values) / count
        if is_rate:
            likely = (mean * count + 0.5) / (count + 1)
            return cls(count, mean, likely * (1 - likely))
        spread = math.fsum((value - mean) ** 2 for value in values)
        return cls(count, mean, spread / (count - 1) if count > 1 else math.nan)


@dataclass(frozen=True, slots=True)
class Figure:
    """A guard's comparison. `low` and `high` bound the difference, challenger less champion."""

    guard: Guard
    champion: Sample
    challenger: Sample
    low: float
    high: float
    verdict: Verdict

    @property
    def difference(self) -> float:
        """Challenger less champion."""
        return self.challenger.mean - self.champion.mean


def compare(guard: Guard, champion: Sequence[float], challenger: Sequence[float], least: int) -> Figure:
    """Compare one value a conversation.

    worse: the whole interval is beyond the tolerance. harmless: there are `least` conversations of both, and the
    difference itself is within it. open: neither, yet.
    """
    ours, theirs = (Sample.of(values, is_rate=guard.is_rate) for values in (challenger, champion))
    if min(ours.count, theirs.count) < FEW:
        return Figure(guard, theirs, ours, -math.inf, math.inf, "open")
    difference = ours.mean - theirs.mean
    half = half_width(ours.variance / ours.count + theirs.variance / theirs.count, ours.count, theirs.count, least)
    low, high = difference - half, difference + half
    loss, least_loss = (-difference, -high) if guard.more_is_better else (difference, low)
    verdict: Verdict = "open"
    if least_loss > guard.tolerance:
        verdict = "worse"
    elif min(ours.count, theirs.count) >= least and loss <= guard.tolerance + 1e-12:
        verdict = "harmless"
    return Figure(guard, theirs, ours, low, high, verdict)


def half_width(variance: float, ours: int, theirs: int, least: int) -> float:
    """Half the width of the sequence at this moment, for a difference of means with this variance.

    It is tightest about where there are `least` conversations of both.
    """
    looks = 1 / (1 / ours + 1 / theirs)
    log = -2 * math.log(ALPHA)
    rho = (log + math.log(log + 1)) / max(least / 2, 1)
    scaled = looks * rho
    return math.sqrt(variance * (scaled + 1) / scaled * 2 * math.log(math.sqrt(scaled + 1) / ALPHA))


def judge(
    champion: Mapping[str, Sequence[float]], challenger: Mapping[str, Sequence[float]], least: int
) -> tuple[Figure, ...]:
    """Every guard's figure, by the values that each has of the two versions."""
    return tuple(
        compare(guard, champion.get(guard.name, ()), challenger.get(guard.name, ()), least) for guard in GUARDS
    )


def told(figure: Figure) -> str:
    """In words, for the reason of a step."""
    return (
        f"{figure.guard.name} {figure.challenger.mean:.3g} against {figure.champion.mean:.3g} "
        f"(difference {figure.low:.3g} to {figure.high:.3g}, {figure.challenger.count} and {figure.champion.count} "
        f"conversations, tolerated {figure.guard.tolerance:g})"
    )
