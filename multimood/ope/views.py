"""A log with a target policy, seen turn by turn or conversation by conversation: what estimators are given. Pure."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from multimood.ope.doubly_robust import cross_fitted
from multimood.ope.log import Floats, Log
from multimood.ope.policy import Policy
from multimood.ope.regression import Moments
from multimood.ope.support import Limits, Support
from multimood.ope.trajectories import Trajectories, trajectories
from multimood.ope.weighing import Weighed, cumulative, expected_size


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a log."""

    policy: Policy
    estimators: tuple[str, ...]
    horizon: int | None = None
    """Turns of a conversation that count; None: all."""
    discount: float = 1.0
    clip: float | None = None
    """Largest weight; None: as they are."""
    limits: Limits = field(default_factory=Limits)
    seed: int = 0


class TurnView:
    """The log one decision at a time."""

    def __init__(self, log: Log, question: Question) -> None:
        self.question = question
        self.log = log.decisions()
        self.missing = int(log.fit.sum()) - len(self.log)

    @cached_property
    def weighed(self) -> Weighed:
        """The decisions with their weights."""
        return Weighed.of(self.log, self.question.policy, self.question.clip)

    @cached_property
    def support(self) -> Support:
        """Of the decisions."""
        return _support(self.weighed, self.weighed.weights, self.log.conversations)

    @property
    def possible(self) -> tuple[float, float]:
        """Between what any policy's value lies, with rewards as they were seen."""
        return float(self.log.rewards.min(initial=np.inf)), float(self.log.rewards.max(initial=-np.inf))

    @property
    def truth(self) -> float | None:
        """What the target is worth in these very turns, if a simulator told."""
        if self.log.oracle is None or not len(self.log):
            return None
        target = self.weighed.target
        value = float(np.where(target > 0, target * self.log.oracle, 0.0).sum(axis=1).mean())
        return value if np.isfinite(value) else None

    @cached_property
    def predicted(self) -> Floats:
        """q(x, a) [n, k], cross-fitted."""
        moments = Moments.of(self.log, self.weighed.target, seed=self.question.seed)
        return cross_fitted(moments, self.log.covariates)


class ConversationView:
    """The log one conversation at a time."""

    def __init__(self, log: Log, question: Question) -> None:
        self.question = question
        self.whole: Trajectories = trajectories(log, question.horizon)
        self.missing = 0 if np.isfinite(log.rewards[log.fit]).any() else int(log.fit.sum())

    @cached_property
    def weighed(self) -> Weighed:
        """The turns with their weights."""
        return Weighed.of(self.whole.log, self.question.policy, self.question.clip)

    @property
    def possible(self) -> tuple[float, float]:
        """Between what any policy's value lies, with rewards as they were seen and conversations of any length."""
        turns = float((self.question.discount ** np.arange(self.whole.horizon)).sum())
        rewards = self.whole.log.rewards
        return turns * float(rewards.min(initial=0.0)), turns * float(rewards.max(initial=0.0))

    @cached_property
    def support_of_turns(self) -> Support:
        """What counts for whoever weighs single turns."""
        return _support(self.weighed, self.weighed.weights, self.whole.conversations)

    @cached_property
    def support_of_products(self) -> Support:
        """What counts for whoever weighs by products over turns.

        The effective size at the end of conversations, as it was drawn or as it should be, whichever is smaller.
        """
        whole = self.whole
        if not whole.conversations:
            return _support(self.weighed, np.zeros(0), 0)
        drawn = _support(self.weighed, cumulative(self.weighed, whole)[:, -1], whole.conversations)
        size = min(drawn.ess, expected_size(self.weighed, whole))
        return replace(drawn, ess=size, ess_share=size / whole.conversations)

    @cached_property
    def predicted(self) -> Floats:
        """Q(x, a) [n, k], cross-fitted."""
        timed, question = self.whole.timed, self.question
        first, following = self.whole.first.astype(float), self.whole.following
        moments = Moments.of(timed, self.weighed.target, first, following, question.seed)
        return cross_fitted(moments, timed.covariates, question.discount)


def _support(weighed: Weighed, weights: Floats, conversations: int) -> Support:
    log = weighed.log
    return Support.of(
        weights, weighed.target, log.behaviour,
        eligible=log.eligible, conversations=conversations, clipped=weighed.clipped,
    )  # fmt: skip
