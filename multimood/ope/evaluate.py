"""What a policy would earn, by several estimators, each with its interval or with the reason why not. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from multimood.errors import ConfigurationError
from multimood.ope.direct import direct, fitted_q
from multimood.ope.doubly_robust import doubly_robust, doubly_robust_conversations
from multimood.ope.importance import ips, mean, snips
from multimood.ope.log import Log
from multimood.ope.perdecision import mean_return, per_decision, weighted_per_decision
from multimood.ope.support import Refusal, Support, objection
from multimood.ope.views import ConversationView, Question, TurnView


class Answer(Protocol):
    """What an estimator gives."""

    @property
    def value(self) -> float:
        """The estimate."""

    def interval(self, seed: int = 0) -> tuple[float, float]:
        """Its 95 % interval."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval and how much of the log speaks for it."""

    estimator: str
    value: float
    low: float
    high: float
    support: Support
    truth: float | None = None
    """The simulator's, where it is known for these very turns."""


OF_TURNS: Final[Mapping[str, Callable[[TurnView], Answer]]] = MappingProxyType(
    {
        "mean": lambda view: mean(view.weighed),
        "dm": lambda view: direct(view.weighed, view.question.seed),
        "ips": lambda view: ips(view.weighed),
        "snips": lambda view: snips(view.weighed),
        "dr": lambda view: doubly_robust(view.weighed, view.predicted),
    }
)
"""Estimators of the mean reward of a turn, in the situations that were logged."""

OF_CONVERSATIONS: Final[Mapping[str, Callable[[ConversationView], Answer]]] = MappingProxyType(
    {
        "return": lambda view: mean_return(view.weighed, view.whole, view.question.discount),
        "fqe": lambda view: fitted_q(view.weighed, view.whole, view.question.discount, view.question.seed),
        "pdis": lambda view: per_decision(view.weighed, view.whole, view.question.discount),
        "wpdis": lambda view: weighted_per_decision(view.weighed, view.whole, view.question.discount),
        "sdr": lambda view: doubly_robust_conversations(
            view.weighed, view.whole, view.predicted, view.question.discount
        ),
    }
)
"""Estimators of a conversation's discounted sum of rewards, had the target policy led it."""

NAIVE: Final = frozenset({"mean", "return"})
"""What was earned, whatever the target: beside every estimate, so that one sees what correcting does."""
ROUNDING: Final = 1e-6
BY_REGRESSION: Final = frozenset({"dm", "dr", "fqe", "sdr"})
PRODUCTS: Final = frozenset({"pdis", "wpdis", "sdr"})
"""Those whose weights are products over the turns of a conversation."""


def evaluate(log: Log, question: Question) -> Iterator[Estimate | Refusal]:
    """Answer by each estimator in turn.

    Raises ConfigurationError: an unknown estimator, a discount or clip out of range, a policy that is no distribution.
    """
    check(question)
    turns = TurnView(log, question)
    conversations = ConversationView(log, question)
    for name in question.estimators:
        if name in OF_TURNS:
            support, missing, truth = turns.support, turns.missing, None if name in NAIVE else turns.truth
        else:
            support = conversations.support_of_products if name in PRODUCTS else conversations.support_of_turns
            missing, truth = conversations.missing, None
        refusal = objection(name, support, question.limits, missing, naive=name in NAIVE, products=name in PRODUCTS)
        if refusal is not None:
            yield refusal
            continue
        answer = OF_TURNS[name](turns) if name in OF_TURNS else OF_CONVERSATIONS[name](conversations)
        estimate = Estimate(name, answer.value, *answer.interval(question.seed), support, truth)
        possible = turns.possible if name in OF_TURNS else conversations.possible
        yield (_unstable(estimate, possible) if name in BY_REGRESSION else None) or estimate


def _unstable(estimate: Estimate, possible: tuple[float, float]) -> Refusal | None:
    """A regression on too little data may say anything; what no policy could earn is no estimate."""
    least, most = possible
    slack = ROUNDING * max(1.0, abs(least), abs(most))
    if least - slack <= estimate.value <= most + slack and estimate.high - estimate.low <= most - least + slack:
        return None
    message = (
        f"the regression gives {estimate.value:.3g} ({estimate.low:.3g}..{estimate.high:.3g}); with the rewards seen, "
        f"only {least:.3g}..{most:.3g} is possible: log more, or ask an estimator without a regression"
    )
    return Refusal(estimate.estimator, "unstable", message, estimate.support)


def check(question: Question) -> None:
    """Tell a question that has no answer whatever the log. Raises ConfigurationError."""
    known = (*OF_TURNS, *OF_CONVERSATIONS)
    unknown = [name for name in question.estimators if name not in known]
    if unknown:
        raise ConfigurationError(f"estimator {unknown[0]!r} is not known: use some of {', '.join(known)}")
    if not 0 < question.discount <= 1:
        raise ConfigurationError(f"gamma is {question.discount:g}: give a number above 0, at most 1")
    if question.clip is not None and not question.clip >= 1:
        raise ConfigurationError(f"clip is {question.clip:g}: give a largest weight of 1 or more")
    if question.horizon is not None and question.horizon < 1:
        raise ConfigurationError(f"horizon is {question.horizon}: give at least 1 turn")
