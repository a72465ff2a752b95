"""A policy's graph beside its formula; the one that ships changes nothing."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs onnx: `make train-env`")

import onnx
from onnx.reference import ReferenceEvaluator

from multimood.learning.graph import build, passthrough, save
from multimood.learning.network import Layer, Network, model_columns, strategies_of
from multimood.perception.state import VERSIONS, names_of

pytestmark = pytest.mark.unit
ROWS = 60


def turns(version: str) -> tuple[np.ndarray, np.ndarray]:
    """States and masks; the first turn has no eligible strategy, in the second the fusion model says nothing."""
    draw = np.random.default_rng(3)
    state = draw.random((ROWS, len(names_of(version)))).astype(np.float32).astype(float)
    eligible = draw.random((ROWS, len(strategies_of(version)))) < 0.6
    eligible[:, 0] = True
    eligible[0] = False
    state[1, model_columns(version)] = 0.0
    return state, eligible


def network(version: str, keep: float) -> Network:
    draw = np.random.default_rng(4)
    wide, many = len(names_of(version)), len(strategies_of(version))
    layers = (
        Layer(draw.normal(size=(wide, 16)), draw.normal(size=16)),
        Layer(draw.normal(size=(16, many)), draw.normal(size=many)),
    )
    return Network(version, layers, np.full(wide, 0.2), np.full(wide, 0.8), keep)


def answer(path: Path, state: np.ndarray, eligible: np.ndarray) -> np.ndarray:
    (found,) = ReferenceEvaluator(str(path)).run(
        None, {"state": state.astype(np.float32), "eligible": eligible.astype(np.float32)}
    )
    return np.asarray(found)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("keep", [0.0, 0.3, 1.0])
def test_the_graph_is_the_formula(version: str, keep: float, tmp_path: Path) -> None:
    state, eligible = turns(version)
    policy = network(version, keep)
    save(policy, {"learner": "bandit", "policy": "mine", "data": "abc"}, tmp_path / "policy.onnx")
    found = answer(tmp_path / "policy.onnx", state, eligible)
    np.testing.assert_allclose(found, policy.probabilities(state, eligible), atol=1e-5)
    assert (found[~eligible] == 0).all()
    np.testing.assert_allclose(found[1:].sum(axis=1), 1, atol=1e-6)
    assert (found[0] == 0).all()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_shipped_policy_passes_the_fusion_model_on(version: str, tmp_path: Path) -> None:
    state, eligible = turns(version)
    passthrough(version.partition(":")[2]).save(tmp_path / "model.onnx")
    found = answer(tmp_path / "model.onnx", state, eligible)
    own = np.where(eligible, state[:, model_columns(version)], 0)[2:]
    np.testing.assert_allclose(found[2:], own / own.sum(axis=1, keepdims=True), atol=1e-6)
    np.testing.assert_allclose(found[1], eligible[1] / eligible[1].sum(), atol=1e-6)


def test_the_graph_says_what_it_is_and_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        build(network("state-1:mesc", 0.1), {"learner": "cql", "policy": "p", "data": "d"}).save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    told = {item.key: item.value for item in onnx.load(tmp_path / "one").metadata_props}
    assert told == {
        "state_version": "state-1:mesc", "taxonomy": "mesc", "learner": "cql", "policy": "p", "data": "d",
    }  # fmt: skip


def test_an_unknown_taxonomy_is_named() -> None:
    with pytest.raises(ValueError, match=r"'helix' is not known: use one of mesc, esconv"):
        passthrough("helix")
