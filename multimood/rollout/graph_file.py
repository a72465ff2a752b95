"""A policy's graph as a file: what it takes and gives, and what it says of itself."""

from collections.abc import Mapping, Sequence
from typing import Final, cast

from google.protobuf.message import DecodeError

from multimood.contracts.v1 import graph_pb2
from multimood.perception.fusion import Taxonomy
from multimood.perception.state import STATE, STRATEGIES, names_of
from multimood.perception.strategy import INPUTS, OUTPUT
from multimood.rollout.errors import PromotionRefusedError

GRAPH: Final = "policy.onnx"
FLOAT: Final = 1
"""ONNX's number for float32."""


def described(graph: bytes) -> tuple[Taxonomy, Mapping[str, str]]:
    """The taxonomy of a policy's graph, and what else it says of itself.

    Raises:
        PromotionRefusedError: it is no graph, or takes or gives something else than a policy does.
    """
    try:
        file = graph_pb2.GraphFile.FromString(graph)
    except DecodeError:
        raise PromotionRefusedError(f"{GRAPH} is no ONNX graph: train it anew") from None
    properties = {one.key: one.value for one in file.metadata_props}
    known = {f"{STATE}:{taxonomy}": taxonomy for taxonomy in STRATEGIES}
    version = properties.get("state_version", "")
    if version not in known:
        raise PromotionRefusedError(
            f"{GRAPH} says that it is made for the state {version!r}; this version serves {', '.join(known)}"
        )
    taxonomy = known[version]
    if properties.get("taxonomy", taxonomy) != taxonomy:
        raise PromotionRefusedError(f"{GRAPH} names the taxonomy {properties['taxonomy']!r} and the state {version!r}")
    width, many = len(names_of(version)), len(STRATEGIES[taxonomy])
    wanted = {"state": width, "eligible": many, OUTPUT: many}
    found = {**_widths(file.graph.input), **_widths(file.graph.output)}
    if {one.name for one in file.graph.input} != set(INPUTS) or found != wanted:
        raise PromotionRefusedError(
            f"{GRAPH} takes and gives these widths of float32: {_told(found)}; {version} has {_told(wanted)}"
        )
    return cast("Taxonomy", taxonomy), properties


def _widths(values: Sequence[graph_pb2.GraphFile.Value]) -> dict[str, int]:
    """By name, the last dimension of each value that is [n, width] float32; -1 for what is something else."""
    found = {}
    for value in values:
        tensor = value.type.tensor_type
        dims = [dim.dim_value for dim in tensor.shape.dim]
        fits = tensor.elem_type == FLOAT and len(dims) == 2 and not dims[0]  # noqa: PLR2004 - rows, columns
        found[value.name] = dims[1] if fits else -1
    return found


def _told(widths: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {width if width >= 0 else 'something else'}" for name, width in widths.items()) or "none"
