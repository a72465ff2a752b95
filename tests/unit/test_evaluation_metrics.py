"""Figures against values worked out by hand."""

import numpy as np
import pytest

from multimood.evaluation import metrics
from multimood.evaluation.answers import answers, over
from multimood.evaluation.replies import distinct, reply_scores
from multimood.evaluation.rows import Dialogue, Row, Seen, Task
from multimood.evaluation.scoring import majority_only, masks, over_folds, scored

pytestmark = pytest.mark.unit

LABELS = ("a", "b", "c")
TRUTH = np.array([0, 0, 0, 1])
SAID = np.array([[0.9, 0.1, 0], [0.6, 0.4, 0], [0.2, 0.3, 0.5], [0.4, 0.6, 0]])
"""Answers a, a, c, b: of three a's two are found, and c is not among the truth."""


def test_scores_by_hand() -> None:
    found = metrics.score(SAID, TRUTH, ["g", "g", "h", "h"], LABELS)
    assert found["accuracy"] == 0.75
    assert found["macro_f1"] == pytest.approx((0.8 + 1.0) / 2), "over the labels that occur in the truth"
    assert found["weighted_f1"] == pytest.approx(0.75 * 0.8 + 0.25 * 1.0)
    assert found["uar"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["n"] == 4
    assert found["confusion"] == [[2, 0, 1], [0, 1, 0], [0, 0, 0]]
    usual = found["majority"]
    assert (usual["accuracy"], usual["uar"], found["majority_label"]) == (0.75, 0.5, "a")
    assert usual["weighted_f1"] == pytest.approx(0.75 * 2 * 0.75 / 1.75)
    assert usual["macro_f1"] == pytest.approx(2 * 0.75 / 1.75 / 2)


def test_calibration_by_hand() -> None:
    # Confidences 0.9, 0.6, 0.5, 0.6 in bins of a fifteenth: 0.9 alone, both 0.6 together (one right each), 0.5 wrong.
    expected = (abs(1 - 0.9) + 2 * abs(1 - 0.6) + abs(0 - 0.5)) / 4
    assert metrics.calibration_error(SAID, TRUTH) == pytest.approx(expected)
    sure = np.eye(3)[[0, 0, 0, 1]]
    assert metrics.calibration_error(sure, TRUTH) == 0


def test_the_interval_resamples_groups() -> None:
    truth = np.array([0, 1] * 50)
    right_in_one = np.concatenate([truth[:50], 1 - truth[50:]])
    by_group, unit = metrics.intervals_of(truth, right_in_one, ["g"] * 50 + ["h"] * 50, 2)
    assert list(by_group) == ["accuracy", "weighted_f1", "macro_f1", "uar"]
    assert all(interval == [0.0, 1.0] for interval in by_group.values()), (
        "with two groups every bootstrap sample of one alone is possible"
    )
    assert unit == "groups"
    by_row, unit = metrics.intervals_of(truth, right_in_one, ["g"] * 100, 2)
    assert all(0.3 < low < 0.5 < high < 0.7 for low, high in by_row.values())
    assert unit == "rows"
    assert metrics.intervals_of(truth, right_in_one, ["g"] * 100, 2)[0] == by_row, "seeded"


def test_preference_of_two_is_their_ratio_of_wins() -> None:
    # a is answered 30 times where b is true, b 10 times where a is true: p_a / p_b = 30.1 / 10.1, mean 1.
    counts = np.array([[5, 10, 0], [30, 5, 0], [0, 0, 0]])
    p, bias = metrics.preference(counts)
    share = 30.1 / 40.2
    assert p == pytest.approx([2 * share, 2 * (1 - share), 0], abs=1e-6)
    assert bias == pytest.approx(2 * share - 1, abs=1e-6)


def test_who_errs_evenly_prefers_nothing() -> None:
    p, bias = metrics.preference(np.array([[9, 2, 2], [2, 9, 2], [2, 2, 9]]))
    assert p == pytest.approx([1, 1, 1])
    assert bias == pytest.approx(0)


def test_numbers_beside_their_mean() -> None:
    found = metrics.rating(np.array([0.1, 0.2, 0.9]), np.array([0.0, 0.5, 1.0]))
    assert found["mae"] == pytest.approx((0.1 + 0.3 + 0.1) / 3)
    assert found["mean"] == {"mae": pytest.approx(1 / 3), "value": 0.5}
    assert found["spearman"] == pytest.approx(1)
    assert metrics.rating(np.array([0.5, 0.5]), np.array([0.0, 1.0]))["spearman"] == 0


def test_probabilities_are_over_the_corpus_own_labels() -> None:
    assert over(("a", "b"), {"a": 0.2, "b": 0.2, "depression": 0.6}) == [0.5, 0.5]
    assert over(("a", "b"), {"depression": 1.0}) == [0.5, 0.5]
    assert over((), 0.25) == [0.25]


def test_only_rows_with_truth_and_prediction_are_scored_and_groups_are_averaged() -> None:
    rows = [Row(Seen(), {"x": 0.5}), Row(Seen(), {"x": 0.5}), Row(Seen()), Row(Seen(), {"x": 1.0})]
    dialogues = [Dialogue("g", rows[:3]), Dialogue("h", rows[3:])]
    predictions = [[{"intensity": 0.2}, {"intensity": 0.4}, {"intensity": 1.0}], [None]]
    found = answers(dialogues, predictions, Task("x", "x", "intensity", by_group=True))  # type: ignore[arg-type]
    assert found is not None
    assert (found.said.tolist(), found.truth.tolist(), list(found.groups)) == ([[pytest.approx(0.3)]], [0.5], ["g"])
    assert answers(dialogues, [[None] * 3, [None]], Task("x", "x", "intensity")) is None


def test_masks_are_full_and_every_subset_of_what_is_there() -> None:
    assert masks(frozenset({"text"})) == {"full": None, "none": frozenset()}
    assert list(masks(frozenset({"audio"}))) == ["full", "audio"]
    assert list(masks(frozenset({"video", "text", "audio"}))) == [
        "full", "text", "audio", "video", "text+audio", "text+video", "audio+video", "text+audio+video",
    ]  # fmt: skip


def test_the_mean_over_folds() -> None:
    one = {"accuracy": 0.5, "weighted_f1": 0.5, "macro_f1": 0.4, "uar": 0.2, "majority": dict.fromkeys(
        ("accuracy", "weighted_f1", "macro_f1", "uar"), 0.1), "n": 2}  # fmt: skip
    other = {**one, "accuracy": 1.0, "n": 8}
    found = over_folds([one, other], {**one, "accuracy": 0.9, "n": 10})
    assert (found["accuracy"], found["n"], found["folds"], found["majority"]["uar"]) == (0.75, 10, 2, 0.1)


def test_where_no_judge_is_there_are_no_figures() -> None:
    found = majority_only(Task("quality", "quality", "", ("high", "low")), np.array([0, 0, 1]), ["a", "b", "c"])
    assert found["accuracy"] is None
    assert found["interval"] is None
    assert found["majority"]["accuracy"] == pytest.approx(2 / 3)
    assert "only the majority" in found["note"]


def test_strategies_have_their_bias() -> None:
    task = Task("strategy", "strategy", "strategy", LABELS)
    rows = [Row(Seen("system"), {"strategy": "a"}), Row(Seen("system"), {"strategy": "b"})]
    predictions = [[{"strategy": {"a": 1.0, "b": 0.0, "c": 0.0}}] * 2]
    found = answers([Dialogue("g", rows)], predictions, task)  # type: ignore[arg-type]
    assert found is not None
    score = scored(task, found)
    assert score["preferences"]["a"] > 1 > score["preferences"]["b"]
    assert score["preference_bias"] > 0


def test_replies() -> None:
    same = reply_scores(["the cat sat on the mat"] * 2, ["the cat sat on the mat"] * 2)
    assert same["bleu_1"] == same["bleu_4"] == pytest.approx(100)
    assert same["rouge_l"] == pytest.approx(100)
    assert same["distinct_1"] == pytest.approx(5 / 12)
    assert distinct(["a b a b"], 2) == pytest.approx(2 / 3)
    assert distinct([""], 1) == 0
    assert reply_scores(["no"], ["the cat sat"])["rouge_l"] == 0
