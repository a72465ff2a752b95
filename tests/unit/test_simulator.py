"""The simulator: its truth is exact, its rows are rows, its words are harmless."""

import numpy as np
import pytest

from multimood.experience.schema import COLUMNS
from multimood.ope import FORCED, Greedy, Logged, OneStrategy, Question, Uniform, evaluate, near_logged, read
from multimood.ope.evaluate import Estimate
from multimood.ope.policy import target
from multimood.perception.state import names_of
from multimood.safety.screener import Screener
from multimood.simulator import (
    World,
    by_the_book,
    converse,
    logging_world,
    rows,
    value_of_conversations,
    value_of_turns,
)  # fmt: skip
from multimood.simulator.effects import EFFECTS, table
from multimood.simulator.optimum import Optimum
from multimood.simulator.profiles import PROFILES
from multimood.simulator.seekers import Seekers
from multimood.simulator.words import utterance
from multimood.taxonomy import ESCONV_STRATEGIES, MESC_STRATEGIES

pytestmark = pytest.mark.unit


def test_every_strategy_of_both_taxonomies_has_an_effect() -> None:
    assert set(EFFECTS) == {*MESC_STRATEGIES, *ESCONV_STRATEGIES, FORCED}
    assert sum(profile.share for profile in PROFILES) == pytest.approx(1)


def test_expected_rewards_are_those_that_come() -> None:
    rng = np.random.default_rng(0)
    seekers = Seekers.arrive(3, rng)
    extreme = Seekers(seekers.profile, seekers.role, np.array([0.02, 0.6, 0.99]), seekers.alliance, seekers.readiness)
    names = list(EFFECTS)
    expected = extreme.expected_rewards(table(names))
    for place, effect in enumerate(table(names)):
        many = extreme.take(np.repeat(np.arange(3), 20_000))
        _, rewards = many.respond(np.tile(effect, (len(many), 1)), rng)
        assert rewards.reshape(3, -1).mean(axis=1) == pytest.approx(expected[:, place], abs=0.002)
        assert ((rewards >= 0) & (rewards <= 1)).all()


def test_rows_are_read_as_what_was_simulated() -> None:
    turns = list(converse(World(), 60, np.random.default_rng(2)))
    made = list(rows(iter(turns)))
    assert all(set(row) == {column.name for column in COLUMNS} | {"feedback"} for row in made)
    log = read(made, "rating").log
    order = np.lexsort(([t.step for t in turns for _ in t.chosen], np.concatenate([t.conversation for t in turns])))
    for name in ("contexts", "rewards"):
        simulated = np.concatenate([getattr(turn, name) for turn in turns])[order]
        assert getattr(log, name) == pytest.approx(simulated, abs=1e-12)
    names = [turns[0].actions[number] for number in np.concatenate([turn.chosen for turn in turns])[order]]
    assert [log.actions[number] for number in log.chosen] == names
    assert target(by_the_book("mesc"), log) == pytest.approx(target(Logged(), log))


def test_the_other_taxonomy_works_as_well() -> None:
    log = read(rows(converse(World("esconv"), 30, np.random.default_rng(0)))).log
    assert set(log.actions) <= {*ESCONV_STRATEGIES, FORCED} - {"others"}
    assert {log.actions[number] for number in log.chosen} >= {"question", "providing suggestions"}, (
        "its own, by the book"
    )


def test_resistant_seekers_lose_by_advice_and_cooperative_ones_win() -> None:
    names = [profile.name for profile in PROFILES]
    later = np.array([0.6, 0.6])
    seekers = Seekers(
        np.array([names.index("resistant"), names.index("cooperative")]), np.zeros(2, int), later, later / 2, later
    )
    advice, nothing = seekers.expected_rewards(table(["advisement", "others"])).T
    assert advice[0] < nothing[0]
    assert advice[1] > nothing[1]


def test_the_optimum_beats_every_other_policy() -> None:
    """Of one strategy, of the book, of its greedy version; played out by the same seekers."""
    world = World(turns=4)
    best = value_of_conversations(world, conversations=4000, informed=Optimum.of(world))
    for policy in (Logged(), Greedy(), Uniform(), *map(OneStrategy, ("approval", "restatement", "advisement"))):
        other = value_of_conversations(world, policy, conversations=4000)
        assert best.value > other.value + 2 * np.hypot(best.error, other.error)


@pytest.mark.slow
def test_estimates_cover_the_truth() -> None:
    """One log; benchmarks/ope.py does it for a hundred."""
    world = World()
    policy = near_logged(Greedy(), 0.5)
    log = read(rows(converse(world, 400, np.random.default_rng(7)))).log
    truth = {
        "snips": value_of_turns(world, policy, conversations=10_000).value,
        "dr": value_of_turns(world, policy, conversations=10_000).value,
        "fqe": value_of_conversations(world, policy, conversations=10_000).value,
    }
    found = list(evaluate(log, Question(policy, tuple(truth))))
    for answer in found:
        assert isinstance(answer, Estimate)
        assert answer.low <= truth[answer.estimator] <= answer.high


def test_what_seekers_say_is_no_crisis_and_differs_by_state() -> None:
    screener = Screener.load()
    rng = np.random.default_rng(0)
    seekers = Seekers.arrive(400, rng)
    said = {utterance(seekers, number, step, rng) for number in range(400) for step in (0, 1, 2)}
    assert len(said) > 400
    crises = sum(screener.screen(text).level in {"elevated", "imminent"} for text in said)
    assert crises <= 0.02 * len(said)


def test_the_state_that_is_logged_is_the_one_that_a_policy_sees() -> None:
    world = World("mesc", 4, *logging_world()["hasty"])
    turns = list(converse(world, 30, np.random.default_rng(5)))
    log = read(rows(turns)).log
    assert log.state_version == "state-1:mesc"
    assert log.state is not None
    names = names_of(log.state_version)
    seen = np.concatenate([turn.state for turn in turns if turn.state is not None])
    assert sorted(map(tuple, log.state.tolist())) == sorted(map(tuple, seen.tolist()))
    model = log.state[:, [names.index(f"model.{name}") for name in MESC_STRATEGIES]]
    np.testing.assert_allclose(model.sum(axis=1), 1, atol=1e-5)
    used = log.state[:, [names.index(f"used.{name}") for name in MESC_STRATEGIES]].sum(axis=1)
    assert (used <= log.step).all()
    assert used.max() == 3
    last = log.state[:, [names.index(f"last.{name}") for name in MESC_STRATEGIES]]
    assert (last.sum(axis=1) <= (log.step > 0)).all()
    np.testing.assert_array_equal(log.state[:, names.index("step")], log.step)


def test_without_a_model_no_state_is_logged() -> None:
    found = list(rows(converse(World(), 3, np.random.default_rng(0))))
    assert {row["state"] for row in found} == {None}


def test_the_hasty_policy_is_worse_than_the_one_by_the_book() -> None:
    values = [
        value_of_conversations(World("mesc", 8, *logging_world()[name]), conversations=1_000).value
        for name in ("hasty", "uniform", "book")
    ]
    assert values == sorted(values)
