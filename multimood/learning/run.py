"""A training run: from a log to a run folder with the policy's graph.

    config.json  data.json  metrics.json  environment.json  card.md  policy.onnx, and checkpoint while it is unfinished

The same log, settings and seed give the same bytes of `policy.onnx`, also after the run was killed and asked for again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from multimood.errors import MultimoodError
from multimood.learning.card import card
from multimood.learning.learner import Advance, Arrays, Settings, learner_of, load_arrays
from multimood.learning.logged import Logged, RowsOf, Wanted, load
from multimood.learning.nearness import kept_near
from multimood.learning.network import Network
from multimood.learning.policies import GRAPH, open_policy
from multimood.learning.taught import Taught
from multimood.training.runs import Run

GATE: Final = "gate.json"
SAMPLE: Final = 2_000
AGREEMENT: Final = 1e-5
_MADE: Final = (GRAPH, GATE, "card.md", "data.json")


class GraphError(MultimoodError):
    """A graph that does not say what its learner learned."""

    code = "graph"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run is asked for."""

    learner: str
    wanted: Wanted
    settings: Settings
    name: str = ""
    """Of the policy; empty: by learner and data."""


def train(rows_of: RowsOf, asked: Asked, out: Path, advance: Advance) -> dict[str, Any]:
    """Learn a policy and write its run folder; gives what `metrics.json` holds.

    Raises:
        ConfigurationError, NotFoundError: see `load`, `learner_of` and `kept_near`.
        RunError: the folder holds an unfinished run that was asked for something else.
        GraphError: the graph that was written differs from what was learned.
        ModuleNotFoundError: a package is not installed, such as onnx.
    """
    import onnx  # noqa: F401, PLC0415 - better now than after an hour

    learner = learner_of(asked.learner)
    logged = load(rows_of, asked.wanted, "train")
    taught = Taught.of(logged.log)
    fingerprint = str(logged.prints["train"])
    config = {"kind": "policy", **asdict(asked), "data": fingerprint}
    run = Run(out, json.loads(json.dumps(config)))
    if not run.checkpoint.exists():
        for name in _MADE:
            (out / name).unlink(missing_ok=True)
    network, near = kept_near(
        learner(logged.log, taught, asked.settings, _Kept(run, advance)), taught, asked.settings.bounds
    )
    name = asked.name or f"{asked.learner}-{_digest(config)[:8]}"
    metrics = {
        "policy": name,
        "learner": asked.learner,
        "decisions": len(taught.log),
        "conversations": taught.log.conversations,
        "logged_reward": float(taught.log.rewards.mean()),
        "kept_of_the_fusion_model": network.keep,
        "nearness": asdict(near),
    }
    told = {"learner": asked.learner, "policy": name, "data": fingerprint}
    metrics["policy_sha256"] = _write_graph(network, told, taught, out / GRAPH)
    _write(out / "data.json", logged.as_json())
    (out / "card.md").write_text(card(config, logged.as_json(), metrics), encoding="utf-8")
    run.finish(metrics)
    return metrics


def sha256_of(path: Path) -> str:
    """Hexadecimal, of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_graph(network: Network, told: Mapping[str, str], taught: Taught, path: Path) -> str:
    """Write the graph where it says on a sample of the turns what the network says; gives its hash."""
    from multimood.learning.graph import save  # noqa: PLC0415 - needs onnx

    part = path.with_name(f"{path.stem}.part.onnx")
    save(network, told, part)
    state, eligible = taught.state[:SAMPLE], taught.eligible[:SAMPLE]
    found = open_policy(part).choose(state, eligible)
    apart = float(np.abs(found - network.probabilities(state, eligible)).max())
    if not apart <= AGREEMENT:
        part.unlink()
        raise GraphError(
            f"the graph differs by {apart:.1e} from what was learned, more than {AGREEMENT:g}: the states of this log "
            "are too far from each other for single precision"
        )
    part.replace(path)
    return sha256_of(path)


def _digest(config: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _Kept:
    """A run's checkpoint, as a learner sees it."""

    run: Run
    tell: Advance

    def kept(self) -> Arrays | None:
        return load_arrays(self.run.checkpoint) if self.run.checkpoint.exists() else None

    def keep(self, arrays: Arrays) -> None:
        def write(path: Path) -> None:
            with path.open("wb") as out:
                np.savez(out, allow_pickle=False, **arrays)

        self.run.save(write)

    def advance(self, what: str, done: int, of: int | None) -> None:
        self.tell(what, done, of)
        self.run.note(what=what, done=done, of=of)


def logged_as(place: Path) -> tuple[Wanted, dict[str, Any]]:
    """What a run was trained on: how its log was read, and its `data.json`. Of a graph without a run: the defaults."""
    config, data = (place / name for name in ("config.json", "data.json"))
    if not config.is_file():
        return Wanted(), {}
    told = json.loads(config.read_text(encoding="utf-8"))
    known = json.loads(data.read_text(encoding="utf-8")) if data.is_file() else {}
    return Wanted(**told["wanted"]), known


__all__ = ["GATE", "Asked", "GraphError", "Logged", "logged_as", "sha256_of", "train"]
