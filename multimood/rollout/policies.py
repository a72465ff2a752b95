"""A policy on its way to the servers: tried out of a request, written as one graph, asked what it says to probes."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from multimood.errors import MultimoodError, UnavailableError
from multimood.local.triton_http import AnswerError, TritonHttp
from multimood.perception.fusion import Taxonomy
from multimood.perception.state import STATE, STRATEGIES, names_of
from multimood.perception.strategy import OUTPUT, policy_answer
from multimood.rollout.candidate import PolicyCandidate
from multimood.rollout.errors import PromotionRefusedError
from multimood.rollout.repository import GRAPH, Content, Repository
from multimood.rollout.serving import TRIAL, Servers

ROWS: Final = 32
CLOSE: Final = 1e-5
_THREADS: Final = {"intra_op_thread_count": "1", "inter_op_thread_count": "1"}


@dataclass(slots=True)
class PolicyGoods:
    """See `multimood.rollout.bring.Goods`."""

    candidate: PolicyCandidate
    _wanted: NDArray[np.float64] | None = field(default=None, init=False)
    """What the graph said when it was tried."""

    @property
    def sha256(self) -> bytes:
        """Of the graph."""
        return self.candidate.sha256

    async def try_out(self, model: str, _repository: Repository, servers: Servers) -> None:
        """Load the graph out of a request, ask it, and unload it again."""
        self._wanted = await asyncio.to_thread(self._answers, f"{model}{TRIAL}", servers)

    async def parts(self, model: str, _repository: Repository) -> tuple[Mapping[str, Content], str]:
        """One file, and a configuration for a model that is new."""
        return {GRAPH: self.candidate.graph}, pbtxt_of(config_of(model, self.candidate.taxonomy))

    def check(self, server: TritonHttp, model: str, version: str) -> None:
        """See that it says what was said at the trial."""
        found = asked(server, model, version, self.candidate.taxonomy)
        if self._wanted is not None and not np.allclose(found, self._wanted, atol=CLOSE):
            raise PromotionRefusedError(f"{model} version {version} on {server.url} answers as another graph does")

    def _answers(self, trial: str, servers: Servers) -> NDArray[np.float64]:
        answers, taxonomy = [], self.candidate.taxonomy
        for server in servers.each:
            try:
                server.load_from(trial, config_of(trial, taxonomy), {f"1/{GRAPH}": self.candidate.graph})
            except AnswerError as error:
                raise PromotionRefusedError(f"Triton at {server.url} cannot load this graph: {error}") from None
            try:
                answers.append(asked(server, trial, "1", taxonomy))
            finally:
                server.unload(trial)
        return answers[0]


def asked(server: TritonHttp, model: str, version: str, taxonomy: Taxonomy) -> NDArray[np.float64]:
    """A version's answers to the probes.

    Raises:
        PromotionRefusedError: it does not answer, or not with distributions over what may be chosen.
    """
    labels = STRATEGIES[taxonomy]
    state, eligible = probes(taxonomy)
    inputs = {"state": state.tolist(), "eligible": eligible.tolist()}
    try:
        values = np.array(server.infer(model, inputs, version)[OUTPUT], np.float32).reshape(len(state), -1)
        rows = [
            policy_answer(
                {OUTPUT: row[None]}, [label for label, may in zip(labels, mask, strict=True) if may], taxonomy
            )
            for row, mask in zip(values, eligible, strict=True)
        ]
    except UnavailableError:
        raise
    except (MultimoodError, KeyError, TypeError, ValueError) as error:
        raise PromotionRefusedError(f"{model} version {version} on {server.url} is no policy: {error}") from None
    return np.array([[row[label] for label in labels] for row in rows])


@cache
def probes(taxonomy: Taxonomy) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """States, some of them far from any that is met, and what may be chosen: all, one alone, and in between."""
    chance = np.random.default_rng(0)
    width, many = len(names_of(f"{STATE}:{taxonomy}")), len(STRATEGIES[taxonomy])
    state = chance.random((ROWS, width))
    state[0], state[1], state[2] = 0, 1, 50
    eligible = (chance.random((ROWS, many)) < 0.6).astype(np.float32)  # noqa: PLR2004 - about half
    eligible[0] = 1
    eligible[range(ROWS), np.arange(ROWS) % many] = 1
    eligible[1] = np.eye(many)[0]
    return state.astype(np.float32), eligible


def config_of(model: str, taxonomy: Taxonomy) -> dict[str, Any]:
    """Triton's configuration of a policy model."""
    width, many = len(names_of(f"{STATE}:{taxonomy}")), len(STRATEGIES[taxonomy])
    return {
        "name": model,
        "backend": "onnxruntime",
        "max_batch_size": 64,
        "input": [_tensor("state", width), _tensor("eligible", many)],
        "output": [_tensor(OUTPUT, many)],
        "version_policy": {"all": {}},
        "instance_group": [{"kind": "KIND_AUTO", "count": 1}],
        "dynamic_batching": {},
        "parameters": {key: {"string_value": value} for key, value in _THREADS.items()},
    }


def pbtxt_of(config: Mapping[str, Any]) -> str:
    """A configuration as Triton reads it from a file."""
    tensor = '{{ name: "{name}" data_type: {data_type} dims: {dims} }}'
    inputs, outputs = (", ".join(tensor.format(**one) for one in config[side]) for side in ("input", "output"))
    parameters = [
        f'parameters {{ key: "{key}" value: {{ string_value: "{value["string_value"]}" }} }}'
        for key, value in config["parameters"].items()
    ]
    lines = [
        f'name: "{config["name"]}"',
        f'backend: "{config["backend"]}"',
        f"max_batch_size: {config['max_batch_size']}",
        f"input [ {inputs} ]",
        f"output [ {outputs} ]",
        "version_policy: { all { } }",
        "instance_group [ { kind: KIND_AUTO count: 1 } ]",
        "dynamic_batching { }",
        *parameters,
    ]
    return "\n".join(lines) + "\n"


def _tensor(name: str, width: int) -> dict[str, Any]:
    return {"name": name, "data_type": "TYPE_FP32", "dims": [width]}
