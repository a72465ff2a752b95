import random
from collections.abc import Callable

import pytest

from multimood.bus.retry import RetryPolicy, code_of, is_retryable
from multimood.errors import DeadlineExceededError, InvalidMediaError, UnavailableError

pytestmark = pytest.mark.unit


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("seed", range(20))
def test_pauses_grow_and_stay_within_the_budget(seed: int) -> None:
    policy = RetryPolicy(first_s=0.1, factor=2, longest_s=1, budget_s=10)
    pauses = list(policy.pauses(random.Random(seed)))
    assert 9 <= sum(pauses) <= 10
    assert 0.05 <= pauses[0] <= 0.1
    assert all(pause <= 1 for pause in pauses)
    assert pauses[-1] >= 0.5


def test_attempts_that_take_long_use_the_budget_up() -> None:
    clock = Clock()
    pauses = RetryPolicy(budget_s=10).pauses(random.Random(0), clock)
    assert next(pauses, None) is not None
    clock.now = 9.99
    assert next(pauses, None) is None, "the attempts alone took all the time there was"


def test_no_budget_is_no_second_attempt() -> None:
    assert list(RetryPolicy(budget_s=0).pauses(random.Random(0))) == []


@pytest.mark.parametrize(
    ("error", "again", "code"),
    [
        (lambda: UnavailableError("x"), True, "unavailable"),
        (lambda: DeadlineExceededError("x"), True, "deadline_exceeded"),
        (lambda: InvalidMediaError("x"), False, "invalid_media"),
        (lambda: ConnectionResetError("x"), True, "ConnectionResetError"),
        (lambda: TimeoutError("x"), True, "TimeoutError"),
        (lambda: ValueError("what was said"), False, "ValueError"),
        (lambda: KeyError("what was said"), False, "KeyError"),
    ],
)
def test_errors_say_whether_trying_again_can_help(error: Callable[[], Exception], again: bool, code: str) -> None:
    assert is_retryable(error()) is again
    assert code_of(error()) == code
