"""Whatever a policy has learned and sees: a distribution over what is eligible, and nothing elsewhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multimood.learning.network import Layer, Network, model_of, strategies_of
from multimood.learning.sampling import Crowd
from multimood.perception.state import VERSIONS, names_of

pytestmark = pytest.mark.property


@settings(max_examples=60, deadline=None)
@given(
    version=st.sampled_from(VERSIONS),
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([0.0, 1e-6, 1.0, 1e3]),
    keep=st.floats(0, 1),
    silent=st.booleans(),
)
def test_probabilities_are_a_distribution_over_the_eligible(
    version: str, seed: int, scale: float, keep: float, silent: bool
) -> None:
    draw = np.random.default_rng(seed)
    wide, many = len(names_of(version)), len(strategies_of(version))
    layers = (
        Layer(scale * draw.normal(size=(wide, 5)), scale * draw.normal(size=5)),
        Layer(scale * draw.normal(size=(5, many)), scale * draw.normal(size=many)),
    )
    policy = Network(version, layers, np.full(wide, -1.0), np.full(wide, 1.0), keep)
    state = 10 * draw.normal(size=(9, wide)) * (not silent)
    eligible = draw.random((9, many)) < 0.5
    found = policy.probabilities(state, eligible)
    assert np.isfinite(found).all()
    assert (found[~eligible] == 0).all()
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), eligible.any(axis=1), atol=1e-9)
    own = model_of(state, eligible, version)
    np.testing.assert_allclose(own.sum(axis=1), eligible.any(axis=1), atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=40), most=st.integers(1, 60), seed=st.integers(0, 99))
def test_the_crowd_that_is_taken_depends_on_no_order_and_is_as_large_as_can_be(
    lengths: list[int], most: int, seed: int
) -> None:
    rows = [place for place, length in enumerate(lengths) for _ in range(length)]
    mixed = np.random.default_rng(seed).permutation(rows).tolist()
    found = []
    for order in (rows, mixed):
        crowd = Crowd(most)
        for place in order:
            crowd.add(place)
        found.append(crowd.below())
    assert found[0] == found[1]
    taken = [length for place, length in enumerate(lengths) if place < found[0]]
    assert taken
    assert sum(taken) <= most or len(taken) == 1
    if len(taken) < len(lengths):
        assert sum(taken) + lengths[len(taken)] > most
