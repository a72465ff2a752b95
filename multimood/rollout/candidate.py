"""What is to be promoted: a policy's graph or a reply model's weights, and that the gate let exactly these pass."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from multimood.perception.fusion import Taxonomy
from multimood.rollout.comparison import Comparison
from multimood.rollout.errors import PromotionRefusedError
from multimood.rollout.graph_file import GRAPH, described

WEIGHTS: Final = "model.gguf"
ADAPTER: Final = "adapter"
GATE: Final = "gate.json"
LARGEST: Final = 64 << 20
"""Bytes of a policy, or of a gate's words."""
NO_RUN: Final = "this is no run of a policy or a reply model: `multimood rl train` makes one"
NO_WEIGHTS: Final = "only a base in GGUF gives weights that llama.cpp serves; serve adapter/ by vLLM instead"
AGAIN: Final = "run `multimood rl evaluate` on this run"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something with its gate's leave."""

    sha256: bytes
    """32 bytes, of the graph or the weights."""
    properties: Mapping[str, str]
    """Among them `learner` and `policy`, its name."""
    compared: Comparison
    judged_at: str


@dataclass(frozen=True, slots=True)
class PolicyCandidate(Candidate):
    """A strategy policy."""

    graph: bytes
    taxonomy: Taxonomy


@dataclass(frozen=True, slots=True)
class ReplyCandidate(Candidate):
    """A reply model; its weights stay where they are, they are large."""

    weights: Path


def candidate_of(run: Path) -> PolicyCandidate | ReplyCandidate:
    """Read a run folder: `policy.onnx` or `model.gguf`, and `gate.json`; nothing else.

    Raises:
        PromotionRefusedError: one is missing, the gate did not pass, passed another file, or the graph is no policy.
    """
    if (run / WEIGHTS).exists() or (run / ADAPTER).exists():
        return _reply_model(run)
    graph = _read(run / GRAPH, NO_RUN)
    digest = hashlib.sha256(graph).digest()
    gate = _leave(run, GRAPH, "policy_sha256", digest)
    taxonomy, properties = described(graph)
    return PolicyCandidate(digest, properties, Comparison.of(gate), str(gate.get("at", "")), graph, taxonomy)


def _reply_model(run: Path) -> ReplyCandidate:
    weights = run / WEIGHTS
    try:
        with weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
    except FileNotFoundError:
        raise PromotionRefusedError(f"{weights} is not there: {NO_WEIGHTS}") from None
    gate = _leave(run, WEIGHTS, "model_sha256", digest)
    properties = {"learner": str(gate.get("learner", "")), "policy": run.absolute().name}
    return ReplyCandidate(digest, properties, Comparison.of_replies(gate), str(gate.get("at", "")), weights)


def _leave(run: Path, file: str, named: str, digest: bytes) -> Mapping[str, Any]:
    """The gate's words, if it let this file pass, whose hash they have under `named`."""
    gate = _gate_of(run)
    if gate.get("passed") is not True:
        why = "; ".join(str(reason) for reason in _list(gate.get("reasons"))) or "it names no reason"
        raise PromotionRefusedError(f"{run / GATE}: the gate did not let this pass ({why})")
    judged = str(gate.get(named))
    if judged != digest.hex():
        raise PromotionRefusedError(
            f"{run / GATE} is of another {file} ({judged[:12]}, this is {digest.hex()[:12]}): {AGAIN} again"
        )
    return gate


def _gate_of(run: Path) -> Mapping[str, Any]:
    text = _read(run / GATE, f"no gate has judged this: {AGAIN}")
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
