"""When to try again, and for how long. Pure: time and chance come in as arguments."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from multimood.errors import MultimoodError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with jitter inside a budget.

    A record holds up its conversation (never its whole partition's other conversations) no longer than `budget_s` and
    the attempt that was under way when it ran out.
    """

    first_s: float = 0.05
    factor: float = 2.0
    longest_s: float = 5.0
    budget_s: float = 30.0

    def pauses(self, rng: random.Random, elapsed: Callable[[], float] = lambda: 0.0) -> Iterator[float]:
        """Yield the pauses between attempts; their sum stays within the budget.

        `elapsed` tells the seconds since the first attempt began, so that the attempts' own time counts too.
        """
        spent, pause = 0.0, self.first_s
        while True:
            wait = pause * rng.uniform(0.5, 1.0)
            if max(spent, elapsed()) + wait > self.budget_s:
                return
            spent += wait
            yield wait
            pause = min(pause * self.factor, self.longest_s)


def is_retryable(error: BaseException) -> bool:
    """Tell whether the same input may succeed later.

    Our own errors say so themselves; of foreign ones only lost connections and time-outs count, the rest are taken for
    bugs or poison, where trying again would only delay the dead letter.
    """
    if isinstance(error, MultimoodError):
        return error.retryable
    return isinstance(error, (ConnectionError, TimeoutError))


def code_of(error: BaseException) -> str:
    """A stable label for metrics and dead letters. Never the error's text: a foreign one may quote the input."""
    return error.code if isinstance(error, MultimoodError) else type(error).__name__
