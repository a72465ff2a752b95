"""Conservative Q-learning over conversations; needs the training environment."""

import numpy as np
import pytest
from learning_logs import part_of, simulated, world_of

pytest.importorskip("d3rlpy", reason="needs the training environment: `make train-env`")

from test_learning import KilledError, Watched, _same

from multimood.learning import cql
from multimood.learning.learner import Settings
from multimood.learning.nearness import kept_near
from multimood.learning.policies import OnState
from multimood.learning.taught import Taught
from multimood.ope.log import FORCED, Log
from multimood.simulator import value_of_conversations

pytestmark = pytest.mark.unit
QUICK = Settings(steps=900)


@pytest.fixture(scope="module")
def log() -> Log:
    return part_of(simulated(250), "train").log


def test_steps_go_from_choice_to_choice_over_turns_where_nobody_could_choose(log: Log) -> None:
    taught = Taught.of(log)
    steps = cql.Steps.of(log, taught, 0.9)
    spread = taught.log.rewards.std()
    forced = log.chosen == log.actions.index(FORCED)
    skipped = np.flatnonzero(forced[1:] & ~forced[:-1] & (log.conversation[1:] == log.conversation[:-1]))
    assert len(skipped)
    for row in skipped[:20]:
        (place,) = np.flatnonzero(steps.at == row)
        assert steps.reward[place] * spread >= log.rewards[row] + 0.9 * log.rewards[row + 1] - 1e-9
        assert steps.last[place] or steps.interval[place] >= 2
    plain = np.flatnonzero(steps.interval == 1)[0]
    assert steps.following[plain] == steps.at[plain] + 1 or steps.last[plain]
    assert (log.conversation[steps.at] == log.conversation[steps.following])[steps.last == 0].all()


def test_it_beats_a_poor_policy_by_what_conversations_are_truly_worth(log: Log) -> None:
    taught = Taught.of(log)
    network, near = kept_near(cql.learn(log, taught, QUICK, Watched()), taught, QUICK.bounds)
    assert near.within(QUICK.bounds)
    learned = value_of_conversations(world_of(), OnState.of(network), conversations=2_000)
    logged = value_of_conversations(world_of(), conversations=2_000)
    assert learned.value > logged.value + 4 * (learned.error + logged.error)


def test_what_was_killed_goes_on_and_ends_with_the_same(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cql, "EPOCH", 150)
    monkeypatch.setattr(cql, "TARGET", 100)
    taught, settings = Taught.of(log), Settings(steps=450)
    once = cql.learn(log, taught, settings, Watched())
    watch = Watched(1)
    with pytest.raises(KilledError):
        cql.learn(log, taught, settings, watch)
    again = Watched()
    again.keep(watch.kept() or {})
    assert _same(cql.learn(log, taught, settings, again), once)
    assert not _same(cql.learn(log, taught, Settings(seed=1, steps=450), Watched()), once)
