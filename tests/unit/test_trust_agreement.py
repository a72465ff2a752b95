"""The arithmetic of agreement and bias."""

import numpy as np
import pytest

pytest.importorskip("krippendorff", reason="needs the `eval` extra")

from multimood.trust.agreement import agreement, correlation, mean_of, self_preference

pytestmark = pytest.mark.unit

NAN = float("nan")


def scores(*given: float) -> np.ndarray:
    return np.array(given, np.float64)


def test_judges_who_say_the_same_agree_wholly() -> None:
    found = agreement({"a": scores(1, 5, 9, 3), "b": scores(1, 5, 9, 3)})
    assert (found.judges, found.replies, found.alpha, found.interval) == (2, 4, 1.0, (1.0, 1.0))
    assert found.pairs["a | b"].spearman == pytest.approx(1.0)


def test_judges_who_contradict_each_other_agree_less_than_by_chance() -> None:
    found = agreement({"a": scores(1, 2, 9, 10), "b": scores(10, 9, 2, 1)})
    assert found.alpha is not None
    assert found.alpha < 0
    assert found.pairs["a | b"].spearman == pytest.approx(-1.0)


def test_krippendorffs_own_example_with_gaps() -> None:
    """Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section C: interval data, alpha .849."""
    found = agreement(
        {
            "a": scores(1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN),
            "b": scores(1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3),
            "c": scores(NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN),
            "d": scores(1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN),
        }
    )
    assert found.alpha == pytest.approx(0.849, abs=5e-4)
    assert found.replies == 11


@pytest.mark.parametrize(
    "given",
    [
        {}, {"a": scores(1, 2)}, {"a": scores(1, NAN), "b": scores(NAN, 2)}, {"a": scores(NAN), "b": scores(1)},
        {"a": scores(5, 5, 5, 5), "b": scores(5, 5, 5, 5)},
    ],
)  # fmt: skip
def test_where_nothing_can_be_said_nothing_is(given: dict[str, np.ndarray]) -> None:
    found = agreement(given)
    assert (found.alpha, found.interval) == (None, None)
    assert all(pair.spearman is None for pair in found.pairs.values())


def test_a_score_that_grows_with_length_is_told() -> None:
    assert correlation(scores(1, 3, 4, 9), scores(10, 20, 30, 40)).spearman == pytest.approx(1.0)
    assert correlation(scores(1, 3, NAN, 2), scores(10, 20, 30, NAN)).n == 2
    assert correlation(scores(7, 7, 7), scores(1, 2, 3)).spearman is None


def test_self_preference_beside_what_others_think() -> None:
    own = np.array([True, True, False, False])
    found = self_preference("m", own, {"m": scores(9, 9, 5, 5), "x": scores(6, 6, 5, 5), "y": scores(NAN, 8, 5, NAN)})
    assert (found.own, found.others, found.gap, found.gap_of_others) == (2, 2, 4.0, 2.0)
    alone = self_preference("m", np.zeros(4, bool), {"m": scores(9, 9, 5, 5)})
    assert (alone.gap, alone.gap_of_others) == (None, None)


def test_the_mean_over_criteria_leaves_gaps_out() -> None:
    found = mean_of([scores(1, NAN, NAN), scores(3, 4, NAN)])
    assert found[:2].tolist() == [2.0, 4.0]
    assert np.isnan(found[2])
