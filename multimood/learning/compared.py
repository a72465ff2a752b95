"""A challenger beside a champion in the same logged decisions: values, and their difference, whole and in slices."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from multimood.ope.doubly_robust import cross_fitted
from multimood.ope.evaluate import Estimate
from multimood.ope.importance import ips, snips
from multimood.ope.interval import Terms
from multimood.ope.log import FORCED, Bools, Floats, Log, picked
from multimood.ope.policy import Policy
from multimood.ope.regression import Moments
from multimood.ope.slicing import Part
from multimood.ope.support import Limits, Support, objection
from multimood.ope.weighing import Weighed

ALL: Final = "all"
DIFFERENCE: Final = "difference"
"""Of the doubly robust values: challenger less champion. Paired, so much surer than either."""
FAILURES: Final = {"gate failed": ("gate failed",), "refused": ("gate failed", "refused")}
"""What goes wrong, by what the log says became of a turn's texts (`multimood.ope.contexts.guard`)."""


@dataclass(frozen=True)
class Compared:
    """Two policies in the decisions of a log that were fit and rewarded."""

    log: Log
    own: Weighed
    other: Weighed
    limits: Limits
    seed: int

    @classmethod
    def of(cls, log: Log, challenger: Policy, champion: Policy, limits: Limits, seed: int) -> "Compared":
        """Weigh both."""
        decisions = log.decisions()
        return cls(decisions, Weighed.of(decisions, challenger), Weighed.of(decisions, champion), limits, seed)

    @cached_property
    def predicted(self) -> Floats:
        """q(x, a) [n, k], cross-fitted once for everything that is asked."""
        moments = Moments.of(self.log, self.own.target, seed=self.seed)
        return cross_fitted(moments, self.log.covariates)

    def parts(self, name: str, rows: Bools) -> Iterator[Part]:
        """IPS, SNIPS, DR and the difference in some of the turns; the champion's value by the same beside it."""
        own, other = _some(self.own, rows), _some(self.other, rows)
        support = _support(own)
        for estimator in ("ips", "snips", "dr", DIFFERENCE):
            why = objection(estimator, support, self.limits, 0) or objection(estimator, _support(other), self.limits, 0)
            if why is not None:
                yield Part(name, why, why)
                continue
            of_own, of_other = (self._terms(estimator, weighed, rows) for weighed in (own, other))
            if estimator == DIFFERENCE:
                of_own = Terms(of_own.numerator - of_other.numerator, of_own.denominator)
                of_other = Terms(np.zeros_like(of_own.numerator), of_own.denominator)
            yield Part(
                name,
                Estimate(estimator, of_own.value, *of_own.interval(self.seed), support),
                Estimate(estimator, of_other.value, *of_other.interval(self.seed), _support(other)),
            )

    def _terms(self, estimator: str, weighed: Weighed, rows: Bools) -> Terms:
        if estimator in {"ips", "snips"}:
            return ips(weighed) if estimator == "ips" else snips(weighed)
        log, predicted = weighed.log, self.predicted[rows]
        expected = (weighed.target * predicted).sum(axis=1)
        corrected = expected + weighed.weights * (log.rewards - picked(predicted, log.chosen))
        return Terms.of_turns(corrected, np.ones(len(log)), log.conversation)


def failures(log: Log, challenger: Policy, champion: Policy, limits: Limits, seed: int) -> Iterator[Part]:
    """Rates of what the guard and the crisis rule stopped, self-normalised: challenger, champion, and the difference.

    All decisions count whose texts were looked at, those too that were then not carried out: the choice was drawn as
    logged, and what came of it is what is asked about.
    """
    forced = log.chosen == log.actions.index(FORCED) if FORCED in log.actions else np.zeros(len(log), bool)
    known = log.take(~forced & (log.slices["guard"] != "unknown"))
    for name, outcomes in FAILURES.items():
        failed = np.isin(known.slices["guard"], outcomes).astype(float)
        looked_at = replace(known, rewards=failed, fit=np.ones(len(known), bool))
        own, other = Weighed.of(looked_at, challenger), Weighed.of(looked_at, champion)
        support = _support(own)
        if (why := objection("snips", support, limits, 0)) is not None:
            yield Part(name, why, why)
            continue
        of_own, of_other = snips(own), snips(other)
        apart = Terms(
            np.hstack([of_own.numerator, -of_other.numerator]), np.hstack([of_own.denominator, of_other.denominator])
        )
        beside = Estimate("snips", of_other.value, *of_other.interval(seed), _support(other))
        yield Part(name, Estimate("snips", of_own.value, *of_own.interval(seed), support), beside)
        yield Part(name, Estimate(DIFFERENCE, apart.value, *apart.interval(seed), support), beside)


def _some(weighed: Weighed, rows: Bools) -> Weighed:
    return Weighed(weighed.log.take(rows), weighed.target[rows], weighed.weights[rows], weighed.clipped)


def _support(weighed: Weighed) -> Support:
    log = weighed.log
    return Support.of(
        weighed.weights, weighed.target, log.behaviour, eligible=log.eligible, conversations=log.conversations
    )
