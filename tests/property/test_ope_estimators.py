"""Off-policy estimators on small problems whose every outcome can be listed."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ope_logs import log_of

from multimood.ope.doubly_robust import doubly_robust
from multimood.ope.importance import ips, mean, snips
from multimood.ope.log import Floats, Log
from multimood.ope.perdecision import per_decision, weighted_per_decision
from multimood.ope.trajectories import trajectories
from multimood.ope.weighing import Weighed

pytestmark = pytest.mark.property

patient = settings(max_examples=50, deadline=None)
share = st.floats(0.05, 0.95)
reward = st.floats(0, 1)


class Fixed:
    """The same probabilities in every turn."""

    name = "fixed"

    def __init__(self, *probabilities: float) -> None:
        self.shares = np.array(probabilities)

    def probabilities(self, turns: Log) -> Floats:
        return np.tile(self.shares, (len(turns.contexts), 1))


@st.composite
def logs(draw: st.DrawFn) -> tuple[Log, Fixed]:
    count = draw(st.integers(1, 30))
    p = draw(share)
    chosen = draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    rewards = draw(st.lists(reward, min_size=count, max_size=count))
    q = draw(share)
    return log_of(chosen, rewards, np.tile([p, 1 - p], (count, 1))), Fixed(q, 1 - q)


@patient
@given(share, share, reward, reward)
def test_ips_and_dr_are_unbiased_over_all_outcomes(p: float, q: float, first: float, second: float) -> None:
    """Three turns, two actions: the mean over all eight logs, weighted by how likely they are, is the true value."""
    value = np.zeros(2)
    for chosen in product((0, 1), repeat=3):
        rewards = [(first, second)[action] for action in chosen]
        weighed = Weighed.of(log_of(chosen, rewards, np.tile([p, 1 - p], (3, 1))), Fixed(q, 1 - q))
        likely = np.prod([(p, 1 - p)[action] for action in chosen])
        guess = np.tile([0.3, 0.9], (3, 1))
        value += likely * np.array([ips(weighed).value, doubly_robust(weighed, guess).value])
    assert value == pytest.approx(q * first + (1 - q) * second)


@patient
@given(share, share, st.lists(reward, min_size=4, max_size=4))
def test_per_decision_is_unbiased_over_all_conversations(p: float, q: float, earned: list[float]) -> None:
    """Two turns, the second's reward depends on both actions."""
    table = np.array(earned).reshape(2, 2)
    found = 0.0
    for one, two in product((0, 1), repeat=2):
        log = log_of([one, two], [0.5, table[one, two]], np.tile([p, 1 - p], (2, 1)), conversation=[0, 0], step=[0, 1])
        likely = (p, 1 - p)[one] * (p, 1 - p)[two]
        found += likely * per_decision(Weighed.of(log, Fixed(q, 1 - q)), trajectories(log), 0.9).value
    pi = np.array([q, 1 - q])
    assert found == pytest.approx(0.5 + 0.9 * pi @ table @ pi)


@patient
@given(logs())
def test_self_normalised_estimates_stay_within_the_rewards(made: tuple[Log, Fixed]) -> None:
    log, policy = made
    for value in (
        snips(Weighed.of(log, policy)).value,
        weighted_per_decision(Weighed.of(log, policy), trajectories(log), 1.0).value,
    ):
        assert log.rewards.min() - 1e-9 <= value <= log.rewards.max() + 1e-9


@patient
@given(logs(), reward)
def test_a_constant_added_to_all_rewards_is_added_to_snips(made: tuple[Log, Fixed], constant: float) -> None:
    log, policy = made
    moved = log_of(log.chosen, log.rewards + constant, log.behaviour)
    assert snips(Weighed.of(moved, policy)).value == pytest.approx(snips(Weighed.of(log, policy)).value + constant)


@patient
@given(logs())
def test_dr_is_the_direct_method_where_the_regression_is_right_and_ips_where_it_says_nothing(
    made: tuple[Log, Fixed],
) -> None:
    log, policy = made
    weighed = Weighed.of(log, policy)
    right = np.tile(log.rewards[:, None], (1, 2))
    assert doubly_robust(weighed, right).value == pytest.approx(log.rewards.mean())
    assert doubly_robust(weighed, np.zeros_like(right)).value == pytest.approx(ips(weighed).value)


@settings(max_examples=15, deadline=None)
@given(logs())
def test_an_interval_has_an_order_and_is_repeatable(made: tuple[Log, Fixed]) -> None:
    log, policy = made
    terms = mean(Weighed.of(log, policy))
    if len(log) < 2:
        return
    low, high = terms.interval(3)
    assert low <= high
    assert terms.interval(3) == (low, high)
