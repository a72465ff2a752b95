"""A training run: from a log to a run folder with the policy's graph.

    config.json  data.json  metrics.json  environment.json  card.md  policy.onnx, and checkpoint while it is unfinished

The same log, settings and seed give the same bytes of `policy.onnx`, also after the run was killed and asked for again.
"""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from threadpoolctl import threadpool_limits

from multimood.errors import ConfigurationError, MultimoodError
from multimood.learning.card import card
from multimood.learning.learner import Advance, Arrays, Settings, learner_of, load_arrays
from multimood.learning.logged import RowsOf, Wanted, load
from multimood.learning.nearness import Nearness, kept_near
from multimood.learning.network import Network
from multimood.learning.policies import GRAPH, open_policy
from multimood.learning.taught import Taught
from multimood.ope.support import Limits
from multimood.training.runs import Run

GATE: Final = "gate.json"
SAMPLE: Final = 2_000
AGREEMENT: Final = 1e-5
_ROOM: Final = 1.5
"""What is held back may speak a little less for the policy than what was learned from."""
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
    with threadpool_limits(1):  # sums of several threads differ in their last bits, and then so do the run's bytes
        learned = learner(logged.log, taught, asked.settings, _Kept(run, advance))
    network, near = _judgeable(learned, taught, asked)
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


def _judgeable(learned: Network, taught: Taught, asked: Asked) -> tuple[Network, Nearness]:
    """Kept near the logged policy; in a small log so near that what is held back can tell of it, if that can be had."""
    bounds, held = asked.settings.bounds, asked.wanted.held
    to_judge_by = len(taught.log) * held / (1 - held)
    least = min(_ROOM * Limits().least_ess / max(to_judge_by, 1.0), 1.0)
    if least > bounds.least_ess_share:
        with contextlib.suppress(ConfigurationError):
            return kept_near(learned, taught, replace(bounds, least_ess_share=least))
    return kept_near(learned, taught, bounds)


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
    """What a run was trained on: how its log was read, and its `data.json`. Of a graph without a run: the defaults.

    Raises ConfigurationError when the folder is not as `train` left it.
    """
    config, data = (place / name for name in ("config.json", "data.json"))
    if not config.is_file():
        return Wanted(), {}
    try:
        told = json.loads(config.read_text(encoding="utf-8"))
        return Wanted(**told["wanted"]), json.loads(data.read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
        raise ConfigurationError(
            f"{place} is no finished run ({type(error).__name__} in its files): train it"
        ) from None
