"""A strategy policy as the ONNX graph that Triton serves as `policy`: docs/offline-rl.md names its tensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from multimood.graphs.graph import Graph, Tensor
from multimood.learning.network import BARRED, NOTHING, Network, model_columns, strategies_of, taxonomy_of
from multimood.perception.state import STATE, STRATEGIES, names_of

NAME: Final = "policy"
LARGEST: Final = 3e38
"""Nearly the largest number in single precision: in place of infinity, which not every runtime clips to."""


def passthrough(taxonomy: str) -> Graph:
    """The policy that ships as version 1: the fusion model's own distribution, masked and scaled.

    Save it as `triton_models/policy/1/model.onnx`. Raises ValueError for a taxonomy that is not known.
    """
    if taxonomy not in STRATEGIES:
        raise ValueError(f"taxonomy {taxonomy!r} is not known: use one of {', '.join(STRATEGIES)}")
    network = Network.passing(f"{STATE}:{taxonomy}")
    return build(network, {"learner": "none", "policy": "passthrough", "data": "none"})


def build(network: Network, told: Mapping[str, str]) -> Graph:
    """Build state float32 [n, d], eligible float32 [n, k] (1: may be chosen) -> strategy float32 [n, k].

    `told` is added to what the graph says of itself: `learner`, `policy` (its name), `data` (a fingerprint).
    """
    version = network.state_version
    strategies = len(strategies_of(version))
    graph = Graph(NAME, {**told, "state_version": version, "taxonomy": taxonomy_of(version)})
    state = graph.input("state", "float32", ["n", len(names_of(version))])
    eligible = graph.op("Greater", graph.input("eligible", "float32", ["n", strategies]), 0.5)
    mask = graph.op("Cast", eligible, to=1)
    shares = []
    if network.keep < 1:
        shares.append(graph.op("Mul", _own(graph, network, state, eligible, mask), 1 - network.keep))
    if network.keep > 0:
        shares.append(graph.op("Mul", _model(graph, version, state, mask), network.keep))
    graph.output("strategy", shares[0] if len(shares) == 1 else graph.op("Add", *shares), ["n", strategies])
    return graph


def save(network: Network, told: Mapping[str, str], path: Path) -> None:
    """Write the graph: the same bytes each time, whole or not at all."""
    build(network, told).save(path)


def _own(graph: Graph, network: Network, state: Tensor, eligible: Tensor, mask: Tensor) -> Tensor:
    least, most = (np.clip(bound, -LARGEST, LARGEST).astype(np.float32) for bound in (network.least, network.most))
    x = graph.op("Min", graph.op("Max", state, least), most)
    for number, layer in enumerate(network.layers):
        x = graph.op("Gemm", graph.op("Relu", x) if number else x, layer.weights, layer.bias)
    shares = graph.op("Softmax", graph.op("Where", eligible, x, BARRED), axis=-1)
    return graph.op("Mul", shares, mask)  # where nothing is eligible the softmax is even


def _model(graph: Graph, version: str, state: Tensor, mask: Tensor) -> Tensor:
    columns = model_columns(version)
    given = graph.op("Slice", state, [columns.start], [columns.stop], [1])
    kept = graph.op("Mul", graph.op("Relu", given), mask)
    total = graph.op("ReduceSum", kept, [1], keepdims=1)
    many = graph.op("ReduceSum", mask, [1], keepdims=1)
    even = graph.op("Div", mask, graph.op("Max", many, 1.0))
    scaled = graph.op("Div", kept, graph.op("Max", total, NOTHING))
    return graph.op("Where", graph.op("Greater", total, NOTHING), scaled, even)
