"""The gate: may a learned policy be shown to anybody? Decided from held-out conversations of the log alone. Pure.

A challenger passes when the log can tell of it, the lower bound of its value passes the champion's estimate, no slice
with enough rows and no rate of failures gets worse. Each objection is a sentence.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from multimood.learning.compared import ALL, DIFFERENCE, Compared, failures
from multimood.learning.logged import SLICES
from multimood.ope.evaluate import Estimate
from multimood.ope.log import Log
from multimood.ope.policy import Logged, Policy
from multimood.ope.slicing import Part, parts
from multimood.ope.support import Limits, Refusal, Support
from multimood.ope.views import Question

OF_TURNS: Final = "dr"
OF_CONVERSATIONS: Final = "fqe"
"""What decides. The others stand beside them."""
_ROOM: Final = 2
_SHOWN: Final = (OF_CONVERSATIONS, "wpdis", "sdr")


@dataclass(frozen=True, slots=True)
class Rules:
    """How the gate judges."""

    horizon: int | None = None
    """None: by the mean reward of a turn. Else by the return of conversations of so many turns."""
    gamma: float = 1.0
    most_loss: float = 0.01
    """Of the mean reward of a turn, in one slice: an estimated loss above it is one too many, however unsure."""
    most_failures: float = 0.002
    """The same of the rate of turns that broke the crisis rule."""
    most_refusals: float = 0.02
    """The same of the rate of turns of which the guard refused a text."""
    limits: Limits = field(default_factory=Limits)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says."""

    champion: str
    parts: Sequence[Part]
    """Of the challenger; in `logged` the champion's by the same estimator."""
    safety: Sequence[Part]
    reasons: Sequence[str]
    """Why not; empty: passed."""
    unjudged: Sequence[str]
    """Slices and rates of which too little is known, and why."""

    @property
    def passed(self) -> bool:
        """Whether it may be promoted."""
        return not self.reasons


def judge(
    log: Log, challenger: Policy, champion: Policy, rules: Rules, advance: Callable[[int, int], None] | None = None
) -> Verdict:
    """Judge by a log of held-out conversations, read with the slices `SLICES` and `guard`.

    Raises ConfigurationError when a policy gives no distribution or needs another state.
    """
    found: list[Part] = []
    asking = _of_turns if rules.horizon is None else _of_conversations
    total = sum(len(np.unique(log.slices[name])) for name in SLICES) + 1
    for done, some in enumerate(asking(log, challenger, champion, rules)):
        found += some
        if advance is not None:
            advance(done + 1, total)
    safety = list(failures(log, challenger, champion, rules.limits, rules.seed))
    whole, slices = _decisive(found, rules)
    support = whole.answer.support
    objections = [*_whole(whole), *(why for part in slices for why in _slice(part, support, rules))]
    unjudged = _unjudged([*slices, *safety], support, rules)
    return Verdict(champion.name, found, safety, [*objections, *_unsafe(safety, support, rules)], list(unjudged))


def _of_turns(log: Log, challenger: Policy, champion: Policy, rules: Rules) -> Iterator[list[Part]]:
    compared = Compared.of(log, challenger, champion, rules.limits, rules.seed)
    yield list(compared.parts(ALL, np.ones(len(compared.log), bool)))
    for name in SLICES:
        values = compared.log.slices[name]
        for value in np.unique(values):
            yield list(compared.parts(f"{name}={value}", values == value))


def _of_conversations(log: Log, challenger: Policy, champion: Policy, rules: Rules) -> Iterator[list[Part]]:
    """A conversation is in the slice of its first turn. What the logged policy earned needs no estimate."""

    def asked(policy: Policy, estimators: tuple[str, ...]) -> Iterator[Part]:
        options = {"horizon": rules.horizon, "discount": rules.gamma, "limits": rules.limits, "seed": rules.seed}
        return parts(log, Question(policy, estimators, **options), SLICES)  # type: ignore[arg-type]

    beside = {part.slice: part.answer for part in asked(champion, (OF_CONVERSATIONS,))}
    by_slice: dict[str, list[Part]] = {}
    for part in asked(challenger, _SHOWN):
        other = part.logged if isinstance(champion, Logged) else beside[part.slice]
        by_slice.setdefault(part.slice, []).append(Part(part.slice, part.answer, other))
        if len(by_slice[part.slice]) == len(_SHOWN):
            yield by_slice[part.slice]


def _decisive(found: Sequence[Part], rules: Rules) -> tuple[Part, list[Part]]:
    """Of all answers those that decide: the one about the whole log, and those about slices."""
    whole, in_slice = (OF_TURNS, DIFFERENCE) if rules.horizon is None else (OF_CONVERSATIONS, OF_CONVERSATIONS)
    first = next(part for part in found if part.slice == ALL and part.answer.estimator == whole)
    return first, [part for part in found if part.slice != ALL and part.answer.estimator == in_slice]


def _whole(part: Part) -> Iterator[str]:
    if isinstance(part.answer, Refusal):
        yield f"support: {_told(part.answer)}"
    elif isinstance(part.logged, Refusal):
        yield f"the champion cannot be estimated: {_told(part.logged)}"
    elif not part.answer.low > part.logged.value:
        yield (
            f"value: the lower bound {part.answer.low:.4f} ({part.answer.estimator} {part.answer.value:.4f}, 95 % "
            f"{part.answer.low:.4f}..{part.answer.high:.4f}) does not pass the champion's {part.logged.value:.4f}"
        )


def _slice(part: Part, whole: Support, rules: Rules) -> Iterator[str]:
    answer, beside = part.answer, part.logged
    if isinstance(answer, Refusal):
        if not _lacks_rows(answer, whole, rules):
            yield f"slice {part.slice}, support: {_told(answer)}"
    elif isinstance(beside, Estimate):
        if answer.high < beside.value:
            yield (
                f"slice {part.slice} gets worse: {answer.estimator} {answer.value:.4f} (95 % {answer.low:.4f}.."
                f"{answer.high:.4f}), champion {beside.value:.4f}"
            )
        elif rules.horizon is None and answer.value < -rules.most_loss:
            yield (
                f"slice {part.slice} may get worse: an estimated {answer.value:.4f} (95 % {answer.low:.4f}.."
                f"{answer.high:.4f}), and a loss of {rules.most_loss:g} is the most"
            )


def _lacks_rows(answer: Refusal, whole: Support, rules: Rules) -> bool:
    """Whether it is for want of rows that nothing can be said of a slice, and not for where the challenger goes there.

    As many rows of the whole log would not have been enough, either.
    """
    if answer.reason in {"too_few", "no_reward", "unstable"}:
        return True
    return answer.reason != "unsupported" and answer.support.turns * whole.ess_share < _ROOM * rules.limits.least_ess


def _unjudged(found: Sequence[Part], whole: Support, rules: Rules) -> Iterator[str]:
    for part in found:
        if isinstance(part.answer, Refusal) and _lacks_rows(part.answer, whole, rules):
            yield f"{part.slice}: {_told(part.answer)}"
        elif isinstance(part.logged, Refusal) and not isinstance(part.answer, Refusal):
            yield f"{part.slice}, the champion: {_told(part.logged)}"


def _told(refusal: Refusal) -> str:
    return refusal.message.replace("(--keep)", "(rl train --caution, --most-divergence)")


def _unsafe(safety: Sequence[Part], whole: Support, rules: Rules) -> Iterator[str]:
    most = {"gate failed": rules.most_failures, "refused": rules.most_refusals}
    for part in safety:
        answer = part.answer
        if isinstance(answer, Estimate) and answer.estimator == DIFFERENCE:
            if answer.low > 0 or answer.value > most[part.slice]:
                yield (
                    f"safety: turns whose texts were {part.slice!r} change by {answer.value:+.2%} (95 % "
                    f"{answer.low:+.2%}..{answer.high:+.2%}); at most {most[part.slice]:+.2%}, and not surely more"
                )
        elif isinstance(answer, Refusal) and not _lacks_rows(answer, whole, rules):
            yield f"safety, support: {_told(answer)}"
