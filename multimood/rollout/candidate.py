"""What is to be promoted: a graph, what it says of itself, and that the gate let exactly this graph pass."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from google.protobuf.message import DecodeError

from multimood.contracts.v1 import graph_pb2
from multimood.perception.fusion import Taxonomy
from multimood.perception.state import STATE, STRATEGIES, names_of
from multimood.perception.strategy import INPUTS, OUTPUT
from multimood.rollout.comparison import Comparison
from multimood.rollout.errors import PromotionRefusedError

GRAPH: Final = "policy.onnx"
GATE: Final = "gate.json"
LARGEST: Final = 64 << 20
FLOAT: Final = 1
"""ONNX's number for float32."""
REPLY_MODEL: Final = "model.gguf"
ADAPTER: Final = "adapter"
NO_RUN: Final = "this is no run of a policy: `multimood rl train` makes one"
OF_REPLIES: Final = "a reply model is not promoted by a canary: docs/offline-rl-replies.md says how it is placed"
AGAIN: Final = "run `multimood rl evaluate` on this run"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A policy with its gate's leave."""

    graph: bytes
    taxonomy: Taxonomy
    properties: Mapping[str, str]
    """What the graph says of itself: `learner`, `policy`, `data`, ..."""
    compared: Comparison
    judged_at: str

    @property
    def sha256(self) -> bytes:
        """32 bytes, of the graph."""
        return hashlib.sha256(self.graph).digest()


def candidate_of(run: Path) -> Candidate:
    """Read a run folder: `policy.onnx` and `gate.json`, nothing else.

    Raises:
        PromotionRefusedError: one is missing, the gate did not pass, passed another graph, or the graph is no policy.
    """
    is_of_replies = (run / REPLY_MODEL).exists() or (run / ADAPTER).exists()
    graph = _read(run / GRAPH, OF_REPLIES if is_of_replies else NO_RUN)
    gate = _gate_of(run)
    reasons = [str(reason) for reason in _list(gate.get("reasons"))]
    if gate.get("passed") is not True:
        why = "; ".join(reasons) or "it names no reason"
        raise PromotionRefusedError(f"{run / GATE}: the gate did not let this policy pass ({why})")
    judged, found = str(gate.get("policy_sha256")), hashlib.sha256(graph).hexdigest()
    if judged != found:
        raise PromotionRefusedError(
            f"{run / GATE} is of another graph ({judged[:12]}, {GRAPH} is {found[:12]}): {AGAIN} again"
        )
    taxonomy, properties = described(graph)
    return Candidate(graph, taxonomy, properties, Comparison.of(gate), str(gate.get("at", "")))


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


def _gate_of(run: Path) -> Mapping[str, Any]:
    text = _read(run / GATE, f"no gate has judged this policy: {AGAIN}")
    try:
        gate = json.loads(text)
    except ValueError:
        gate = None
    if not isinstance(gate, dict):
        raise PromotionRefusedError(f"{run / GATE} is no JSON object: {AGAIN} again")
    return gate


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []


def _read(file: Path, remedy: str) -> bytes:
    try:
        if file.stat().st_size > LARGEST:
            raise PromotionRefusedError(f"{file} is larger than the {LARGEST >> 20} MiB of any policy")
        return file.read_bytes()
    except FileNotFoundError:
        raise PromotionRefusedError(f"{file} is not there: {remedy}") from None
