"""The gate: what passes, and each reason to refuse."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from learning_logs import part_of, simulated

from multimood.learning import gate
from multimood.learning.gate import Rules, Verdict, judge
from multimood.ope import Logged, OneStrategy, Policy, Turns
from multimood.ope import direct as direct_module
from multimood.ope.log import Floats, Log
from multimood.ope.policy import over

pytestmark = pytest.mark.unit
GOOD, POOR = "approval", "advisement"


@dataclass(frozen=True)
class Leaning:
    """The logged policy, with some strategies so many times likelier, in some turns only."""

    factors: dict[str, float]
    name: str = "leaning"
    where: tuple[str, float] | None = None
    """A feature and the value that it has there."""

    def probabilities(self, turns: Turns) -> Floats:
        times = np.array([self.factors.get(name, 1.0) for name in turns.actions])
        leaning = over(turns.behaviour * times, turns.eligible)
        if self.where is None:
            return leaning
        name, value = self.where
        return np.where((turns.contexts[:, [turns.features.index(name)]] == value), leaning, turns.behaviour)


@pytest.fixture(scope="module")
def held() -> Log:
    return part_of(simulated(350, led="hasty"), "held", held=0.9).log


def judged(log: Log, challenger: Policy, champion: Policy | None = None, **rules: object) -> Verdict:
    return judge(log, challenger, Logged() if champion is None else champion, Rules(**rules))  # type: ignore[arg-type]


def test_a_better_policy_passes_and_is_told_in_full(held: Log) -> None:
    found = judged(held, Leaning({GOOD: 8.0}))
    assert found.passed, found.reasons
    told = {part.slice for part in found.parts}
    assert {"all", "stage=exploration", "locale=de", "modalities=text", "screening_level=none"} <= told
    whole = {part.answer.estimator: part.answer for part in found.parts if part.slice == "all"}
    assert whole.keys() == {"ips", "snips", "dr", "difference"}
    assert any(line.startswith("gate failed") for line in found.unjudged)


def test_a_harmful_policy_is_refused(held: Log) -> None:
    found = judged(held, Leaning({POOR: 8.0}))
    assert not found.passed
    assert any("does not pass the champion's" in why for why in found.reasons)
    assert any("gets worse" in why for why in found.reasons)


def test_the_same_again_is_refused(held: Log) -> None:
    assert any("does not pass" in why for why in judged(held, Logged()).reasons)


def test_one_that_the_log_cannot_tell_of_is_refused(held: Log) -> None:
    rare = replace(held, behaviour=_without(held, GOOD))
    found = judged(rare, OneStrategy(GOOD))
    assert any(why.startswith("support:") and "logged probability below" in why for why in found.reasons)


def test_too_few_conversations_are_refused(held: Log) -> None:
    few = held.take(held.conversation < np.unique(held.conversation)[12])
    assert any("100 in 30 are needed" in why for why in judged(few, Leaning({GOOD: 8.0})).reasons)


def test_a_slice_that_gets_worse_is_refused_though_the_whole_gets_better(held: Log) -> None:
    class Both:
        name = "both"

        def probabilities(self, turns: Turns) -> Floats:
            good, poor = Leaning({GOOD: 8.0}).probabilities(turns), Leaning({POOR: 8.0}).probabilities(turns)
            video = turns.contexts[:, [turns.features.index("present.video")]] == 1
            return np.where(video, poor, good)

    found = judged(held, Both())
    assert [why.split(" gets")[0] for why in found.reasons] == ["slice modalities=text+audio+video"]


def test_where_nobody_ever_went_in_one_slice_is_refused(held: Log) -> None:
    video = held.contexts[:, held.features.index("present.video")] == 1
    rare = replace(held, behaviour=np.where(video[:, None], _without(held, GOOD), held.behaviour))

    class There:
        name = "there"

        def probabilities(self, turns: Turns) -> Floats:
            good, only = Leaning({GOOD: 8.0}).probabilities(turns), OneStrategy(GOOD).probabilities(turns)
            some = turns.contexts[:, [turns.features.index("present.video")]] == 1
            return np.where(some, near_half(only, good), good)

    def near_half(only: Floats, good: Floats) -> Floats:
        return 0.05 * only + 0.95 * good

    found = judged(rare, There())
    assert any(why.startswith("slice modalities=text+audio+video, support") for why in found.reasons), found.reasons


@pytest.mark.parametrize(("became", "most"), [("gate failed", "most_failures"), ("refused", "most_refusals")])
def test_more_failures_are_refused_though_the_reward_is_better(held: Log, became: str, most: str) -> None:
    good = held.chosen == held.actions.index(GOOD)
    failing = good & (np.arange(len(held)) % 4 == 0)
    log = replace(held, slices={**held.slices, "guard": np.where(failing, became, "passed")})
    found = judged(log, Leaning({GOOD: 8.0}))
    assert found.reasons
    assert all(why.startswith("safety:") for why in found.reasons)
    assert judged(
        replace(log, slices={**held.slices, "guard": np.full(len(held), "passed")}), Leaning({GOOD: 8.0})
    ).passed
    assert getattr(Rules(), most) < 0.05


def test_failures_count_though_they_were_not_carried_out(held: Log) -> None:
    good = (held.chosen == held.actions.index(GOOD)) & (np.arange(len(held)) % 4 == 0)
    log = replace(held, fit=held.fit & ~good, slices={**held.slices, "guard": np.where(good, "gate failed", "passed")})
    assert any(why.startswith("safety:") for why in judged(log, Leaning({GOOD: 8.0})).reasons)


def test_a_champion_may_be_another_policy(held: Log) -> None:
    good, better = Leaning({GOOD: 2.0}, "good"), Leaning({GOOD: 8.0}, "better")
    assert judged(held, better, good).champion == "good"
    assert judged(held, better, good).passed
    assert not judged(held, good, better).passed


@pytest.mark.slow
def test_conversations_are_judged_by_their_return(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "SLICES", ())
    monkeypatch.setattr(direct_module, "REFITS", 30)
    log = part_of(simulated(1_200, led="hasty"), "held", held=0.9).log
    found = judged(log, Leaning({GOOD: 3.0, "restatement": 3.0, "open question": 3.0, POOR: 0.5}), horizon=8)
    assert {part.answer.estimator for part in found.parts if part.slice == "all"} == {"fqe", "wpdis", "sdr"}
    assert found.passed, found.reasons
    worse = judged(log, Leaning({POOR: 3.0}), horizon=8)
    assert any("fqe" in why for why in worse.reasons)


def _without(log: Log, strategy: str) -> Floats:
    """The logged distribution with next to nothing for a strategy (what was taken stays possible)."""
    behaviour = log.behaviour.copy()
    behaviour[:, log.actions.index(strategy)] *= 1e-3
    return behaviour / behaviour.sum(axis=1, keepdims=True)
