"""Off-policy evaluation: rows to arrays, weights, support, refusals, trajectories, policies in files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ope_logs import log_of, row

from multimood.errors import ConfigurationError, NotFoundError
from multimood.ope import (
    FORCED,
    Estimate,
    Greedy,
    Limits,
    LinearSoftmax,
    Logged,
    OneStrategy,
    Question,
    Refusal,
    Uniform,
    epsilon_soft,
    evaluate,
    load,
    near_logged,
    read,
    save,
    target,
)
from multimood.ope.contexts import FEATURES
from multimood.ope.interval import MOST_UNITS, Terms
from multimood.ope.log import Log
from multimood.ope.slicing import parts
from multimood.ope.support import effective_size
from multimood.ope.trajectories import trajectories

pytestmark = pytest.mark.unit


def two_armed(turns: int = 400, seed: int = 0) -> Log:
    """Action 1 earns 0.8, action 0 earns 0.2; the behaviour policy takes action 1 every fourth time."""
    rng = np.random.default_rng(seed)
    chosen = (rng.random(turns) < 0.25).astype(int)
    rewards = np.clip(0.2 + 0.6 * chosen + 0.1 * rng.standard_normal(turns), 0, 1)
    return log_of(chosen, rewards, np.tile([0.75, 0.25], (turns, 1)), rng.standard_normal((turns, 3)))


def by_name(log: Log, question: Question) -> dict[str, Estimate | Refusal]:
    return {answer.estimator: answer for answer in evaluate(log, question)}


# --- rows to arrays --------------------------------------------------------------------------------------------------


def test_rows_become_arrays() -> None:
    later = row(1, conversation_id="c0", step=1, chosen="restatement", propensity=0.25, reward=0.9)
    log = read([later, row(0)]).log
    assert log.actions == ("approval", "restatement")
    assert log.step.tolist() == [0, 1]
    assert log.chosen.tolist() == [0, 1]
    assert log.rewards.tolist() == [0.5, 0.9]
    assert log.behaviour.tolist() == [[0.75, 0.25]] * 2
    assert log.contexts.shape == (2, len(FEATURES))
    seen = dict(zip(log.features, log.contexts[1], strict=True))
    assert (seen["emotion:sadness"], seen["intensity"], seen["stage:exploration"]) == (0.75, 0.5, 1.0)
    assert (seen["first"], seen["step"], seen["risk"]) == (0.0, 0.05, 0.1)


def test_the_oracle_is_found_by_the_platforms_ids_also_where_the_log_has_pseudonyms() -> None:
    oracle = {"mine": {"approval": 0.7, "restatement": 0.2}}
    rows = [row(0, utterance_id="mine"), row(1, utterance_id="t/mine", tenant="t"), row(2, utterance_id="other")]
    found = read(rows, oracle=oracle, called=lambda tenant, name: f"{tenant}/{name}").log.oracle
    assert found is not None
    assert found[:2].tolist() == [[0.7, 0.2]] * 2
    assert np.isnan(found[2]).all()


def test_the_context_knows_the_strategy_before() -> None:
    said = [{"role": "system", "text": "", "utterance_id": "", "label": "approval"},
            {"role": "user", "text": "", "utterance_id": "", "label": "joy"}]  # fmt: skip
    log = read([row(dialogue=said)]).log
    assert log.contexts[0, log.features.index("before:approval")] == 1


def test_the_state_that_the_policy_saw_is_taken_where_every_row_has_it() -> None:
    told = {"state_version": "state-1:mesc"}
    first = row(0, state=[1.0, 2.0], **told)
    both = read([first, row(1, state=[3.0, 4.0], **told)]).log
    assert both.covariates.tolist() == [[1, 2], [3, 4]]
    assert both.state_version == "state-1:mesc"
    assert both.features == FEATURES
    for other in ([1.0], None, [1.0, float("nan")]):
        log = read([first, row(1, state=other, **told)]).log
        assert log.state is None
        assert log.covariates is log.contexts
    assert read([first, row(1, state=[3.0, 4.0], state_version="state-1:esconv")]).log.state is None


def test_a_turn_where_nobody_could_choose_needs_no_state() -> None:
    log = read([row(0, state=[1.0, 2.0]), row(1, override="crisis", state=None)]).log
    assert log.covariates.tolist() == [[1, 2], [0, 0]]


def test_what_the_guard_did_is_a_slice() -> None:
    attempts = [{"faults": []}, {"faults": ["advice.medical"]}]
    told = [
        row(0), row(1, crisis_gate_failed=False), row(2, reply_attempts=attempts[:1]), row(3, reply_attempts=attempts),
        row(4, reply_attempts=attempts, crisis_gate_failed=True),
    ]  # fmt: skip
    found = read(told, slices=("guard",)).log.slices["guard"].tolist()
    assert found == ["unknown", "passed", "passed", "refused", "gate failed"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"has_decision": False}, "no_decision"),
        ({"strategy": None}, "no_propensity"),
        ({"strategy": [{"label": "approval", "p": 0.5}]}, "no_propensity"),
        ({"strategy": [{"label": "approval", "p": 1.5}, {"label": "restatement", "p": -0.5}]}, "no_propensity"),
        ({"strategy": [{"label": "approval", "p": None}, {"label": "restatement", "p": 1.0}]}, "no_propensity"),
        ({"strategy": [{"label": "approval", "p": 0.5}, {"label": "approval", "p": 0.5}]}, "no_propensity"),
        ({"chosen": "interpretation"}, "no_propensity"),
        ({"propensity": 0.9}, "propensity_differs"),
        ({"propensity": float("nan")}, "propensity_differs"),
        ({"fit_for_ope": False, "unfit_reason": "not_carried_out"}, "not_carried_out"),
        ({"reward": None}, "no_reward"),
        ({"reward": float("inf")}, "no_reward"),
        ({"override": "crisis", "chosen": None, "propensity": 0.0, "strategy": []}, "override"),
    ],
)
def test_what_cannot_be_evaluated_is_counted(changed: dict[str, object], reason: str) -> None:
    reading = read([row(0), row(1, **changed)])
    assert reading.left_out == {reason: 1}
    assert len(reading.log.decisions()) == 1


def test_a_row_that_is_there_twice_counts_once() -> None:
    reading = read([row(0), row(1), row(0)])
    assert (reading.rows, dict(reading.left_out), len(reading.log)) == (3, {"duplicate": 1}, 2)


def test_a_log_without_decisions_says_so() -> None:
    with pytest.raises(NotFoundError, match="no_decision 1"):
        read([row(has_decision=False)])
    with pytest.raises(NotFoundError, match="no rows at all"):
        read([])


def test_rewards_by_name() -> None:
    feedback = [
        {"rating": 0.1, "intensity": None},
        {"rating": 0.7, "intensity": 0.25},
        {"rating": None, "intensity": None},
    ]
    one = row(feedback=feedback, score_empathy=5.5)
    assert [read([one], name).log.rewards[0] for name in ("rating", "intensity", "score_empathy")] == [0.7, 0.75, 0.5]
    with pytest.raises(ConfigurationError, match="use one of reward, rating"):
        read([one], "happiness")
    with pytest.raises(ConfigurationError, match="use one of screening_level"):
        read([one], slices=("weather",))


# --- estimators ------------------------------------------------------------------------------------------------------


def test_every_estimator_of_turns_finds_what_the_better_action_is_worth() -> None:
    log = two_armed()
    found = by_name(log, Question(OneStrategy("a1"), ("mean", "dm", "ips", "snips", "dr")))
    mean = found.pop("mean")
    assert isinstance(mean, Estimate)
    assert mean.value == pytest.approx(log.rewards.mean())
    for answer in found.values():
        assert isinstance(answer, Estimate)
        assert answer.low <= 0.8 <= answer.high
        assert answer.value > mean.high


def test_the_logged_policy_is_worth_what_was_earned() -> None:
    log = two_armed()
    for answer in evaluate(log, Question(Logged(), ("ips", "snips"))):
        assert isinstance(answer, Estimate)
        assert answer.value == pytest.approx(log.rewards.mean())
        assert answer.support.ess == pytest.approx(len(log))


def test_conversations_by_hand() -> None:
    """Two turns, two actions; weights 2 and 0 under the policy that always takes a1."""
    log = log_of(
        [1, 1, 1, 0], [0.5, 1.0, 0.25, 0.75], np.full((4, 2), 0.5), conversation=[0, 0, 1, 1], step=[0, 1, 0, 1]
    )
    everything = Limits(0, 0, 0, 0, 0, 0, 1, 1)
    question = Question(OneStrategy("a1"), ("return", "pdis", "wpdis"), discount=0.5, limits=everything)
    found = {name: answer.value for name, answer in by_name(log, question).items() if isinstance(answer, Estimate)}
    assert found["return"] == pytest.approx(((0.5 + 0.5 * 1.0) + (0.25 + 0.5 * 0.75)) / 2)
    assert found["pdis"] == pytest.approx(((2 * 0.5 + 0.5 * 4 * 1.0) + (2 * 0.25 + 0)) / 2)
    assert found["wpdis"] == pytest.approx((2 * 0.5 + 2 * 0.25) / 4 + 0.5 * (4 * 1.0) / 4)


def test_a_horizon_of_one_turn_is_the_turn_itself() -> None:
    log = two_armed(1000)
    question = Question(OneStrategy("a1"), ("ips", "pdis"), horizon=1)
    ips, pdis = evaluate(log, question)
    assert isinstance(ips, Estimate)
    assert isinstance(pdis, Estimate)
    assert pdis.value == pytest.approx(ips.value)


def test_fitted_q_sees_what_an_action_leads_to() -> None:
    """An action that earns nothing itself, after which the next turn earns 1 instead of 0."""
    rng = np.random.default_rng(1)
    conversations = 1000
    chosen = rng.integers(2, size=2 * conversations)
    led = np.repeat(chosen[::2], 2)
    step = np.tile([0, 1], conversations)
    contexts = np.stack([step, step * led], axis=1).astype(float)
    number = np.repeat(np.arange(conversations), 2)
    log = log_of(
        chosen, (step * led).astype(float), np.full((len(chosen), 2), 0.5), contexts, conversation=number, step=step
    )
    for answer in evaluate(log, Question(OneStrategy("a1"), ("fqe", "sdr"))):
        assert isinstance(answer, Estimate), answer
        assert answer.value == pytest.approx(1.0, abs=0.03)


def test_clipping_is_counted() -> None:
    (answer,) = evaluate(two_armed(), Question(OneStrategy("a1"), ("ips",), clip=2.0))
    assert isinstance(answer, Estimate)
    assert answer.support.largest_weight == 2.0
    assert 0.15 < answer.support.clipped < 0.35
    assert answer.value < 0.5


@pytest.mark.parametrize(
    "wrong", [{"estimators": ("magic",)}, {"discount": 0.0}, {"discount": 1.5}, {"clip": 0.5}, {"horizon": 0}]
)
def test_a_question_without_answer_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        list(evaluate(two_armed(10), replace(Question(Uniform(), ("ips",)), **wrong)))


# --- support ---------------------------------------------------------------------------------------------------------


def reason_of(log: Log, question: Question) -> str:
    (answer,) = evaluate(log, question)
    assert isinstance(answer, Refusal), answer
    assert answer.message
    return answer.reason


def test_refusals_name_their_reason() -> None:
    log = two_armed()
    ips = Question(OneStrategy("a1"), ("ips",))
    assert reason_of(log.take(np.arange(50)), ips) == "too_few"
    assert reason_of(replace(log, conversation=np.arange(len(log)) // 100), ips) == "too_few"
    assert reason_of(replace(log, rewards=np.full(len(log), np.nan)), ips) == "no_reward"
    rare = replace(log, behaviour=np.tile([0.999, 0.001], (len(log), 1)))
    assert reason_of(rare, ips) == "unsupported"
    assert (
        reason_of(replace(rare, chosen=np.zeros_like(log.chosen)), Question(OneStrategy("a1"), ("dm",)))
        == "unsupported"
    )
    few = np.where(np.arange(len(log)) < 20, 1, 0)
    assert reason_of(replace(log, chosen=few), ips) == "small_ess"
    heavy = log.behaviour.copy()
    heavy[0] = [0.993, 0.007]
    uneven = replace(log, behaviour=heavy, chosen=np.where(np.arange(len(log)) == 0, 1, log.chosen))
    assert reason_of(uneven, replace(ips, limits=Limits(least_ess=1.0))) == "one_weight"


def test_products_of_weights_need_more() -> None:
    turns = 8
    rng = np.random.default_rng(0)
    chosen = rng.integers(2, size=100 * turns)
    step = np.tile(np.arange(turns), 100)
    number = np.arange(len(chosen)) // turns
    log = log_of(chosen, rng.random(len(chosen)), np.full((len(chosen), 2), 0.5), conversation=number, step=step)
    found = by_name(log, Question(OneStrategy("a1"), ("return", "fqe", "pdis", "wpdis", "sdr")))
    assert [name for name, answer in found.items() if isinstance(answer, Estimate)] == ["return", "fqe"]


def test_the_naive_mean_is_given_whatever_the_target() -> None:
    rare = replace(two_armed(), behaviour=np.tile([0.999, 0.001], (400, 1)))
    (answer,) = evaluate(rare, Question(OneStrategy("a1"), ("mean",)))
    assert isinstance(answer, Estimate)


def test_effective_size() -> None:
    assert effective_size(np.ones(7)) == pytest.approx(7)
    assert effective_size(np.array([1.0, 0.0, 0.0])) == pytest.approx(1)
    assert effective_size(np.zeros(3)) == 0


def test_constant_rewards_are_no_reason_to_fail() -> None:
    log = replace(two_armed(), rewards=np.full(400, 0.5))
    for answer in evaluate(log, Question(Uniform(), ("mean", "dm", "snips", "dr"))):
        assert isinstance(answer, Estimate)
        assert (answer.value, answer.low, answer.high) == pytest.approx((0.5, 0.5, 0.5), abs=1e-6)


def test_two_weights_are_not_taken_for_certainty() -> None:
    weights = np.zeros(40)
    weights[:2] = 5
    low, high = Terms.of_turns(weights * [0.3, 0.9, *[0] * 38], weights, np.arange(40)).interval()
    assert (low, high) == pytest.approx((0.3, 0.9)), "most resamples hold one of the two, or none"


def test_one_conversation_says_nothing_of_others() -> None:
    assert Terms.of_turns(np.array([0.2, 0.4]), np.ones(2), np.zeros(2, np.int64)).interval() == (-np.inf, np.inf)


def test_many_conversations_are_put_together_for_the_bootstrap() -> None:
    rng = np.random.default_rng(0)
    values = rng.random(20 * MOST_UNITS)
    low, high = Terms.of_turns(values, np.ones(len(values)), np.arange(len(values))).interval()
    exact = 1.96 * values.std() / np.sqrt(len(values))
    assert (high - low) / 2 == pytest.approx(exact, rel=0.15)


# --- trajectories ----------------------------------------------------------------------------------------------------


def test_broken_conversations_are_left_out_whole() -> None:
    numbers, steps = [0, 0, 1, 1, 2, 3, 3], [0, 1, 0, 2, 1, 0, 1]
    rewards = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, np.nan]
    whole = trajectories(log_of([0] * 7, rewards, np.full((7, 2), 0.5), conversation=numbers, step=steps))
    assert whole.conversations == 1
    assert dict(whole.left_out) == {"gap": 2, "no_reward": 1}
    assert whole.table(whole.log.rewards, 0.0).tolist() == [[0.1, 0.2]]
    assert whole.following.tolist() == [1, -1]
    short = trajectories(log_of([0] * 7, rewards, np.full((7, 2), 0.5), conversation=numbers, step=steps), horizon=1)
    assert short.conversations == 3


@pytest.mark.parametrize("lost", [{"propensity": 0.9}, {"strategy": None}, {"has_decision": False, "step": None}])
def test_a_conversation_whose_last_decision_is_not_known_did_not_end_before_it(lost: dict[str, object]) -> None:
    def turn(conversation: int, step: int, /, **changed: object) -> dict[str, object]:
        number = 10 * conversation + step
        return row(number, conversation_id=f"c{conversation}", **({"step": step} | changed))

    log = read([turn(0, 0), turn(0, 1), turn(0, 2, **lost), turn(1, 0), turn(1, 1)]).log
    whole = trajectories(log)
    assert (whole.conversations, dict(whole.left_out)) == (1, {"gap": 1})
    assert len(log.decisions()) == 4, "single turns do not depend on what followed"
    known_step = "step" not in lost
    assert trajectories(log, horizon=2).conversations == 1 + known_step, "behind the horizon nothing is asked for"


def test_a_forced_turn_stays_in_its_conversation_with_ratio_one() -> None:
    none = {"chosen": None, "strategy": [], "propensity": 0.0, "reward": None}
    forced = row(1, conversation_id="c0", step=1, override="crisis", **none)
    log = read([row(0), forced]).log
    assert log.actions[-1] == FORCED
    whole = trajectories(log)
    assert whole.conversations == 1
    assert whole.log.rewards.tolist() == [0.5, 0.0]
    for policy in (Uniform(), Greedy(), OneStrategy("approval"), Logged()):
        assert target(policy, log)[1].tolist() == [0, 0, 1]


# --- policies --------------------------------------------------------------------------------------------------------


def test_policies_by_hand() -> None:
    log = read(
        [row(0), row(1, strategy=[{"label": "restatement", "p": 1.0}], chosen="restatement", propensity=1.0)]
    ).log
    assert target(Uniform(), log).tolist() == [[0.5, 0.5], [0, 1]]
    assert target(Greedy(), log).tolist() == [[1, 0], [0, 1]]
    assert target(OneStrategy("approval"), log).tolist() == [[1, 0], [0, 1]]
    assert target(epsilon_soft(Greedy(), 0.5), log).tolist() == [[0.75, 0.25], [0, 1]]
    assert target(near_logged(Uniform(), 0.5), log).tolist() == [[0.625, 0.375], [0, 1]]
    with pytest.raises(ConfigurationError, match="it has approval, restatement"):
        target(OneStrategy("silence"), log)
    with pytest.raises(ConfigurationError, match="from 0 to 1"):
        epsilon_soft(Greedy(), 1.5)


def test_a_policy_that_is_no_distribution_is_told() -> None:
    class Broken:
        name = "broken"

        def probabilities(self, turns: Log) -> np.ndarray:
            return np.full(turns.eligible.shape, 0.7)

    with pytest.raises(ConfigurationError, match="broken gives no distribution"):
        target(Broken(), two_armed(5))


def test_a_policy_survives_its_file(tmp_path: Path) -> None:
    policy = LinearSoftmax(
        "mine", ("restatement", "unheard"), ("intensity",), np.array([[1.0], [5.0]]), np.zeros(2), 0.5
    )
    save(policy, tmp_path / "policy.json")
    log = read([row(0)]).log
    assert target(load(tmp_path / "policy.json"), log).tolist() == target(policy, log).tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format": "other"}, "format"),
        ({"weights": [[1.0, 2.0]]}, "1 numbers"),
        ({"bias": []}, "1 entries"),
        ({"temperature": 0}, "temperature"),
        ({"bias": ["NaN"]}, "bias"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_file_that_is_no_policy_says_where(tmp_path: Path, change: dict[str, object], told: str) -> None:
    content = {
        "format": "multimood-policy/1",
        "name": "p",
        "actions": ["a"],
        "features": ["x"],
        "weights": [[1.0]],
        "bias": [0.0],
    }
    path = tmp_path / "p.json"
    path.write_text(json.dumps(content | change))
    with pytest.raises(ConfigurationError, match=told):
        load(path)


def test_a_policy_that_needs_more_than_the_log_has_says_what() -> None:
    policy = LinearSoftmax("mine", ("approval",), ("heart rate",), np.zeros((1, 1)), np.zeros(1))
    with pytest.raises(ConfigurationError, match="heart rate"):
        target(policy, read([row(0)]).log)


# --- slices ----------------------------------------------------------------------------------------------------------


def test_slices_are_evaluated_by_themselves() -> None:
    log = two_armed(800)
    halves = np.array(["first", "second"])[np.arange(len(log)) // 400]
    log = replace(log, slices={"half": halves}, rewards=np.where(halves == "first", 0.0, log.rewards))
    found = {part.slice: part.answer for part in parts(log, Question(OneStrategy("a1"), ("snips",)), ("half",))}
    assert set(found) == {"all", "half=first", "half=second"}
    first, second = found["half=first"], found["half=second"]
    assert isinstance(first, Estimate)
    assert isinstance(second, Estimate)
    assert first.value == 0
    assert second.value == pytest.approx(0.8, abs=0.05)
