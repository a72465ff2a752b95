"""Scores of any predictions: within bounds, the same in any order, and the intervals' figures are scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multimood.evaluation import metrics

pytestmark = pytest.mark.property

LABELS = ("a", "b", "c", "d")


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[str]]:
    count = draw(st.integers(1, 30))
    numbers = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shares = numbers.dirichlet(np.full(4, 0.5), size=count)
    truth = numbers.integers(0, draw(st.integers(1, 4)), size=count)
    groups = [str(number) for number in numbers.integers(0, draw(st.integers(1, 5)), size=count)]
    return shares, truth, groups


@given(cases())
@settings(max_examples=40, deadline=None)
def test_bounds_and_order(case: tuple[np.ndarray, np.ndarray, list[str]]) -> None:
    shares, truth, groups = case
    found = metrics.score(shares, truth, groups, LABELS)
    for name in ("accuracy", "weighted_f1", "macro_f1", "uar", "ece"):
        assert 0 <= found[name] <= 1
    assert 0 <= found["interval"][0] <= found["interval"][1] <= 1
    assert np.sum(found["confusion"]) == found["n"] == len(truth)
    assert found["majority"]["accuracy"] >= 1 / len(LABELS)
    order = np.random.default_rng(0).permutation(len(truth))
    again = metrics.score(shares[order], truth[order], [groups[place] for place in order], LABELS)
    for name in ("accuracy", "weighted_f1", "macro_f1", "uar", "ece"):
        assert again[name] == pytest.approx(found[name])


@given(cases())
@settings(max_examples=40, deadline=None)
def test_the_intervals_are_of_the_same_figures(case: tuple[np.ndarray, np.ndarray, list[str]]) -> None:
    shares, truth, _ = case
    answer, there = shares.argmax(axis=1), np.unique(truth)
    counts = metrics.confusion(truth, answer, len(LABELS))[None].astype(float)
    found = {name: values[0] for name, values in metrics._agreements(counts, there).items()}
    assert found == pytest.approx(metrics.agreement(truth, answer))


@given(st.lists(st.lists(st.integers(0, 50), min_size=4, max_size=4), min_size=4, max_size=4))
@settings(max_examples=60, deadline=None)
def test_preferences_have_mean_one_and_follow_their_labels(rows: list[list[int]]) -> None:
    counts = np.array(rows)
    p, bias = metrics.preference(counts)
    part = (counts.sum(axis=0) + counts.sum(axis=1)) > 0
    assert np.isfinite(p).all()
    assert bias >= 0
    if part.any():
        assert p[part].mean() == pytest.approx(1)
    order = np.array([2, 0, 3, 1])
    again, _ = metrics.preference(counts[np.ix_(order, order)])
    assert again == pytest.approx(p[order], abs=1e-4)
