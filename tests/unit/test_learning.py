"""Learners of strategy policies on simulated logs, where the truth is known; what they may not do."""

from dataclasses import replace

import numpy as np
import pytest
from learning_logs import part_of, simulated, world_of

from multimood.errors import ConfigurationError
from multimood.learning.bandit import scores
from multimood.learning.learner import Arrays, Settings, Unwatched, learner_of
from multimood.learning.nearness import Bounds, kept_near, nearness
from multimood.learning.network import Layer, Network, model_of, strategies_of
from multimood.learning.policies import OnState
from multimood.learning.taught import Scale, Taught, network_of
from multimood.ope import Logged, Policy
from multimood.ope.support import RARE
from multimood.simulator import value_of_conversations, value_of_turns

pytestmark = pytest.mark.unit
QUIET = Unwatched()


class KilledError(Exception):
    """The process is gone."""


class Watched(Unwatched):
    """Keeps in memory; dies after so many checkpoints."""

    __slots__ = ("arrays", "lives")

    def __init__(self, lives: int = 1 << 30) -> None:
        object.__setattr__(self, "arrays", None)
        object.__setattr__(self, "lives", [lives])

    def kept(self) -> Arrays | None:
        return self.arrays

    def keep(self, arrays: Arrays) -> None:
        if not self.lives[0]:
            raise KilledError
        self.lives[0] -= 1
        object.__setattr__(self, "arrays", {name: np.array(value) for name, value in arrays.items()})


@pytest.fixture(scope="module")
def taught() -> Taught:
    return Taught.of(part_of(simulated(), "train").log)


def test_direct_clones_the_logged_policy(taught: Taught) -> None:
    network = learner_of("direct")(taught.log, taught, Settings(), QUIET)
    found = nearness(network.probabilities(taught.state, taught.eligible), taught.behaviour, taught.eligible)
    assert found.divergence < 0.01
    assert found.ess_share > 0.97


@pytest.mark.slow
@pytest.mark.parametrize("weighting", ["dr", "ips"])
def test_a_bandit_learned_from_the_log_of_a_poor_policy_beats_it_by_its_true_value(weighting: str) -> None:
    taught = Taught.of(part_of(simulated(400), "train").log)
    settings = Settings(weighting=weighting)  # type: ignore[arg-type]
    network, near = kept_near(learner_of("bandit")(taught.log, taught, settings, QUIET), taught, settings.bounds)
    assert near.within(settings.bounds)
    world, learned = world_of(), OnState.of(network)

    def truth(policy: Policy) -> tuple[float, float]:
        found = value_of_turns(world, policy, conversations=2_000)
        return found.value, found.error

    (mine, error), (logged, other) = truth(learned), truth(Logged())
    assert mine - logged > 0.03 + 2 * (error + other)
    whole = value_of_conversations(world, learned, conversations=2_000)
    assert whole.value > value_of_conversations(world, conversations=2_000).value + 4 * whole.error


def test_the_doubly_robust_scores_are_right_on_average(taught: Taught) -> None:
    """Summed with the logged policy's probabilities they are the rewards that were earned."""
    log, found = taught.log, scores(taught, Settings())
    estimate = (taught.behaviour * found).sum(axis=1).mean()
    assert abs(estimate) < 3 * log.rewards.std() / np.sqrt(len(log))
    assert (found[~taught.eligible] == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["direct", "bandit"])
def test_what_was_killed_goes_on_and_ends_with_the_same(learner: str, taught: Taught) -> None:
    learn, settings = learner_of(learner), Settings()
    once = learn(taught.log, taught, settings, Watched())
    for lives in (1, 3):
        watch = Watched(lives)
        with pytest.raises(KilledError):
            learn(taught.log, taught, settings, watch)
        again = Watched()
        again.keep(watch.kept() or {})
        assert _same(learn(taught.log, taught, settings, again), once)


def _same(one: Network, other: Network) -> bool:
    layers = zip(one.layers, other.layers, strict=True)
    return all((a.weights == b.weights).all() and (a.bias == b.bias).all() for a, b in layers)


def _always(taught: Taught, strategy: str) -> Network:
    """A policy that wants one strategy only."""
    many = taught.eligible.shape[1]
    bias = np.where(np.array(strategies_of(taught.log.state_version)) == strategy, 30.0, 0.0)
    return network_of(taught, Scale.of(taught.state), (Layer(np.zeros((taught.state.shape[1], many)), bias),))


def test_a_policy_that_goes_too_far_is_mixed_with_the_fusion_models_own(taught: Taught) -> None:
    far = _always(taught, "self-disclosure")
    network, near = kept_near(far, taught, Bounds())
    assert 0 < network.keep < 1
    assert near.within(Bounds())
    closer, _ = kept_near(far, taught, Bounds(most_divergence=0.3))
    assert network.keep < closer.keep
    found = network.probabilities(taught.state, taught.eligible)
    own = replace(far, keep=0.0).probabilities(taught.state, taught.eligible)
    model = model_of(taught.state, taught.eligible, far.state_version)
    np.testing.assert_allclose(found, (1 - network.keep) * own + network.keep * model)


def test_where_not_even_the_fusion_model_is_near_nothing_is_served(taught: Taught) -> None:
    far = _always(taught, "self-disclosure")
    with pytest.raises(ConfigurationError, match="more exploration"):
        kept_near(far, taught, Bounds(most_divergence=1e-6))


def test_what_was_hardly_ever_tried_counts_as_rare() -> None:
    behaviour = np.array([[RARE / 2, 1 - RARE / 2], [0.5, 0.5]])
    policy = np.array([[0.4, 0.6], [1.0, 0.0]])
    found = nearness(policy, behaviour, np.ones((2, 2), bool))
    assert found.rare == pytest.approx(0.2)
    assert found.divergence > 0
    assert found.ess_share < 1


def test_states_beyond_those_that_were_seen_are_read_as_the_nearest(taught: Taught) -> None:
    network = learner_of("direct")(taught.log, taught, Settings(), QUIET)
    most = taught.state.max(axis=0, keepdims=True)
    far = most + 1e6
    eligible = np.ones((1, taught.eligible.shape[1]), bool)
    np.testing.assert_allclose(network.probabilities(far, eligible), network.probabilities(most, eligible))


@pytest.mark.parametrize("wrong", [{"caution": 0.0}, {"gamma": 1.0}, {"steps": 0}])
def test_settings_that_make_no_sense_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Settings(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="'magic' is not known"):
        learner_of("magic")
