"""What was to be reached, and whether it was. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from multimood.evaluation.result import FULL, NONE
from multimood.evaluation.results.forms import Goal, Interval, Measured

SINGLE: Final = frozenset({"text", "audio", "video"})
NOT_SUBSETS: Final = frozenset({FULL, NONE})


@dataclass(frozen=True, slots=True)
class Outcome:
    """A goal beside what was measured, as shares; of the worst mask the figure is that mask's."""

    split: str
    n: int
    mask: str
    value: float
    interval: Interval | None
    majority: float | None
    bound: float
    met: bool
    against: str = ""
    """What the bound was taken from, where it was measured, too."""


def judge(goal: Goal, measured: Mapping[str, Measured]) -> Outcome | str:
    """Judge a goal, or say what is missing for that."""
    if goal.corpus not in measured:
        return "not measured yet"
    found = measured[goal.corpus]
    masks = found.tasks.get(goal.task, {})
    values = {name: value for name, score in masks.items() if (value := score.of(goal.metric)) is not None}
    if goal.mask not in values:
        return f"{goal.corpus} was measured without `{goal.task}` under mask `{goal.mask}`"
    mask, bound, against = goal.mask, 0.0, ""
    if goal.above is not None:
        bound = goal.above / 100
    elif goal.over_best_single is not None:
        singles = [name for name in values if name in SINGLE]
        if len(singles) < 2:  # noqa: PLR2004 - there is no company of one
            return f"{goal.corpus} was measured with fewer than two modalities alone"
        best = max(singles, key=values.__getitem__)
        bound, against = values[best] + goal.over_best_single / 100, _named(best, values[best])
    elif goal.worst_within is not None:
        others = [name for name in values if name not in NOT_SUBSETS | {goal.mask}]
        if not others:
            return f"{goal.corpus} was measured without masks"
        bound, against = values[goal.mask] - goal.worst_within / 100, _named(goal.mask, values[goal.mask])
        mask = min(others, key=values.__getitem__)
    met = values[mask] > bound if goal.above is not None else values[mask] >= bound
    score = masks[mask]
    return Outcome(
        found.split, score.n, mask, values[mask], score.interval_of(goal.metric),
        score.majority.of(goal.metric), bound, met, against,
    )  # fmt: skip


def _named(mask: str, value: float) -> str:
    return f"`{mask}` {100 * value:.1f}"
