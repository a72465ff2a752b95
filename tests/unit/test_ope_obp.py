"""Our estimators beside those of Open Bandit Pipeline (Saito et al. 2021), on its data and with the same inputs.

obp pins old packages, so it has an environment of its own; the tests skip where it is not installed (docs/ope.md).
"""

import numpy as np
import pytest

from multimood.ope.doubly_robust import doubly_robust
from multimood.ope.importance import ips, snips
from multimood.ope.log import Floats, Log
from multimood.ope.weighing import Weighed

dataset = pytest.importorskip("obp.dataset", reason="obp is not installed: docs/ope.md says how")
estimators = pytest.importorskip("obp.ope.estimators", reason="obp is not installed: docs/ope.md says how")

pytestmark = pytest.mark.unit

ACTIONS = 7
ROUNDS = 3_000


class Given:
    """A policy that is its table."""

    name = "given"

    def __init__(self, table: Floats) -> None:
        self.table = table

    def probabilities(self, turns: Log) -> Floats:
        assert turns.eligible.shape == self.table.shape
        return self.table


@pytest.mark.parametrize("seed", range(3))
def test_ips_snips_and_dr_agree(seed: int) -> None:
    source = dataset.SyntheticBanditDataset(
        n_actions=ACTIONS, dim_context=4, reward_function=dataset.logistic_reward_function, random_state=seed
    )
    data = source.obtain_batch_bandit_feedback(n_rounds=ROUNDS)
    rng = np.random.default_rng(seed)
    behaviour = data["pi_b"][:, :, 0]
    target = rng.dirichlet(np.ones(ACTIONS), ROUNDS)
    predicted = rng.random((ROUNDS, ACTIONS))
    weighed = Weighed.of(
        Log(
            actions=tuple(map(str, range(ACTIONS))), features=("a", "b", "c", "d"), contexts=data["context"],
            chosen=data["action"], behaviour=behaviour, eligible=behaviour > 0, rewards=data["reward"].astype(float),
            fit=np.ones(ROUNDS, bool), conversation=np.arange(ROUNDS), step=np.zeros(ROUNDS, np.int64), slices={},
        ),
        Given(target),
    )  # fmt: skip
    given = {
        "reward": data["reward"], "action": data["action"], "pscore": data["pscore"], "action_dist": target[:, :, None],
        "position": np.zeros(ROUNDS, int),
    }  # fmt: skip
    theirs = {
        "ips": estimators.InverseProbabilityWeighting().estimate_policy_value(**given),
        "snips": estimators.SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(**given),
        "dr": estimators.DoublyRobust().estimate_policy_value(
            **given, estimated_rewards_by_reg_model=predicted[:, :, None]
        ),
    }
    ours = {"ips": ips(weighed).value, "snips": snips(weighed).value, "dr": doubly_robust(weighed, predicted).value}
    assert ours == pytest.approx(theirs, abs=1e-6)


def open_data(behaviour: str) -> tuple[Log, dict[str, np.ndarray]]:
    """The sample of the Open Bandit Dataset (Saito et al. 2021) that obp brings: three places on a page, 80 items.

    An item and a place are the action; the propensity of what was shown is known, so behaviour is it and the rest.
    """
    data = dataset.OpenBanditDataset(behavior_policy=behaviour, campaign="all").obtain_batch_bandit_feedback()
    rounds, items = data["n_rounds"], data["n_actions"]
    shown = data["pscore"][:, None]
    table = np.broadcast_to((1 - shown) / (items - 1), (rounds, items)).copy()
    table[np.arange(rounds), data["action"]] = data["pscore"]
    log = Log(
        actions=tuple(map(str, range(items))), features=("place",), contexts=data["position"][:, None].astype(float),
        chosen=data["action"].astype(np.int64), behaviour=table, eligible=np.ones(table.shape, bool),
        rewards=data["reward"].astype(float), fit=np.ones(rounds, bool), conversation=np.arange(rounds),
        step=np.zeros(rounds, np.int64), slices={},
    )  # fmt: skip
    return log, data


def test_open_data_gives_what_obp_gives_and_what_the_other_policy_earned() -> None:
    """From the log of Bernoulli Thompson sampling, the value of choosing at random; the random log tells it."""
    log, data = open_data("bts")
    uniform = np.full(log.behaviour.shape, 1 / len(log.actions))
    weighed = Weighed.of(log, Given(uniform))
    places = int(data["position"].max()) + 1
    given = {
        "reward": data["reward"], "action": data["action"], "pscore": data["pscore"], "position": data["position"],
        "action_dist": np.repeat(uniform[:, :, None], places, axis=2),
    }  # fmt: skip
    theirs = {
        "ips": estimators.InverseProbabilityWeighting().estimate_policy_value(**given),
        "snips": estimators.SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(**given),
    }
    assert {"ips": ips(weighed).value, "snips": snips(weighed).value} == pytest.approx(theirs, abs=1e-6)
    other, _ = open_data("random")
    earned = other.rewards.mean()
    low, high = snips(weighed).interval()
    assert low <= earned <= high
