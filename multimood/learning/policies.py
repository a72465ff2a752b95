"""Learned policies where estimators take them: a network in memory, or a graph from its file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from multimood.errors import ConfigurationError, NotFoundError
from multimood.learning.network import Array, Mask, Network, strategies_of, taxonomy_of
from multimood.ope.log import Floats
from multimood.ope.policy import Turns
from multimood.perception.state import VERSIONS, names_of

GRAPH: Final = "policy.onnx"
"""In a run's folder."""
AT_ONCE: Final = 4_096
_NEAR: Final = 1e-3
"""How far a row may be from a sum of 1, in single precision."""


@dataclass(frozen=True, slots=True)
class OnState:
    """A policy that chooses by the state that the pipeline logs."""

    name: str
    state_version: str
    choose: Callable[[Array, Mask], Array]
    """States [n, d] and what is eligible [n, k], in the order of the taxonomy, to a distribution [n, k]."""

    @classmethod
    def of(cls, network: Network, name: str = "learned") -> "OnState":
        """A network in memory."""
        return cls(name, network.state_version, network.probabilities)

    def probabilities(self, turns: Turns) -> Floats:
        """[n, k]; where no strategy is eligible, as it was logged.

        Raises ConfigurationError: the turns do not have this state.
        """
        if turns.state is None or turns.state_version != self.state_version:
            raise ConfigurationError(
                f"policy {self.name} needs the state {self.state_version} of every decision; this log has "
                f"{turns.state_version or 'none that every decision has'}"
            )
        names = strategies_of(self.state_version)
        there = [place for place, name in enumerate(turns.actions) if name in names]
        columns = [names.index(turns.actions[place]) for place in there]
        eligible = np.zeros((len(turns.state), len(names)), bool)
        eligible[:, columns] = turns.eligible[:, there]
        chosen = np.zeros(turns.eligible.shape)
        chosen[:, there] = self.choose(turns.state, eligible)[:, columns]
        return np.where(eligible.any(axis=1, keepdims=True), chosen, turns.behaviour)


def graph_at(place: Path) -> Path:
    """The graph's file: of a run's folder, or it itself."""
    return place / GRAPH if place.is_dir() else place


def open_policy(place: Path) -> OnState:
    """A policy from its graph, or from the run folder that holds one. It is run by onnx's own reference, in numpy.

    Raises:
        NotFoundError: there is none.
        ConfigurationError: the file is no graph of a policy.
        ModuleNotFoundError: onnx is not installed.
    """
    path = graph_at(place)
    if not path.is_file():
        raise NotFoundError(f"{path} does not exist: `multimood rl train` writes it when it has finished")
    return read_policy(path.read_bytes(), path)


def read_policy(content: bytes, path: Path) -> OnState:
    """A policy from its graph; `path` is where it lies, for messages. Raises like `open_policy`, but NotFoundError."""
    import onnx  # noqa: PLC0415 - an environment may lack it
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415

    try:
        model = onnx.load_from_string(content)
        onnx.checker.check_model(model)
        told = {item.key: item.value for item in model.metadata_props}
        version = _version(path, told)
        _check_tensors(path, model, version)
        run = ReferenceEvaluator(model)
    except ConfigurationError:
        raise
    except Exception as error:  # noqa: BLE001 - protobuf's, onnx's and the evaluator's have no common family
        raise ConfigurationError(f"{path} is no graph of a policy ({type(error).__name__}): train it anew") from None
    return OnState(told.get("policy") or path.stem, version, _Graph(path, run))


@dataclass(frozen=True, slots=True)
class _Graph:
    path: Path
    run: Any

    def __call__(self, state: Array, eligible: Mask) -> Array:
        parts = [self._some(state[at : at + AT_ONCE], eligible[at : at + AT_ONCE]) for at in _starts(len(state))]
        return np.concatenate(parts) if parts else np.zeros(eligible.shape)

    def _some(self, state: Array, eligible: Mask) -> Array:
        fed = {"state": state.astype(np.float32), "eligible": eligible.astype(np.float32)}
        try:
            found = np.asarray(self.run.run(None, fed)[0], np.float64)
        except Exception as error:  # noqa: BLE001 - whatever an operator raises
            raise ConfigurationError(f"{self.path} does not run ({type(error).__name__}): train it anew") from None
        total = found.sum(axis=1)
        wanted = eligible.any(axis=1)
        if found.shape != eligible.shape or not np.allclose(total[wanted], 1, atol=_NEAR):
            raise ConfigurationError(f"{self.path} gives no distribution over what is eligible: train it anew")
        return found / np.where(wanted, total, 1.0)[:, None]


def _starts(rows: int) -> range:
    return range(0, rows, AT_ONCE)


def _version(path: Path, told: dict[str, str]) -> str:
    version = told.get("state_version", "")
    if version not in VERSIONS or told.get("taxonomy") != taxonomy_of(version):
        raise ConfigurationError(
            f"{path} is for the state {version!r} and the taxonomy {told.get('taxonomy')!r}; known are "
            f"{', '.join(VERSIONS)}"
        )
    return version


def _check_tensors(path: Path, model: Any, version: str) -> None:
    wanted = {"state": len(names_of(version)), "eligible": len(strategies_of(version))}
    found = {one.name: one.type.tensor_type.shape.dim[-1].dim_value for one in model.graph.input}
    outputs = [one.name for one in model.graph.output]
    if found != wanted or outputs != ["strategy"]:
        raise ConfigurationError(f"{path} takes {found} and gives {outputs}; it should take {wanted} and give strategy")
