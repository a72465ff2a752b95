"""Policies learned from simulated logs, beside the truth: `python -m benchmarks.learning [--seeds N] [--json FILE]`.

value     what a policy learned from the log of a poor one is truly worth, beside that one and the informed optimum
gate      how often a good challenger passes, and a harmful one and one without support are refused
coverage  how often the 95 % intervals of a learned policy, estimated on held-out conversations, cover its true value
memory    peak memory of `multimood rl train` on a log, and on one ten times as long

Run it in the training environment for `cql`, too. `--only` names some of the four.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.progress import Progress
from rich.table import Table

from benchmarks import harness
from multimood.experience.schema import Row
from multimood.learning.gate import Rules, Verdict, judge
from multimood.learning.learner import Settings, Unwatched, learner_of
from multimood.learning.logged import Wanted, load
from multimood.learning.nearness import kept_near
from multimood.learning.network import Layer, strategies_of
from multimood.learning.policies import OnState
from multimood.learning.taught import Scale, Taught, network_of
from multimood.ope import Estimate, Logged, Policy, Question, Refusal, epsilon_soft, evaluate
from multimood.ope.log import Log
from multimood.simulator import World, converse, logging_world, rows, value_of_conversations, value_of_turns
from multimood.simulator.optimum import Optimum
from multimood.simulator.records import save

PARTS: Final = ("value", "gate", "coverage", "memory")
ESTIMATORS: Final = ("ips", "snips", "dr")
LED: Final = "hasty"
FIRST_SEED: Final = 6_000
"""Settings were tried on lower ones."""
TRUTH_SEED: Final = 1_000_003
"""Not one of the logs' seeds; in the coverage each log has another, so that no error of the truth is common to all."""
PLAYED: Final = 20_000
PLAYED_OFTEN: Final = 15_000
CONVERSATIONS: Final = 1_500
CONVERSATIONS_OFTEN: Final = 800
LOGS: Final = 5
"""Of value and gate."""
GOAL: Final = 0.90
FLAT: Final = 1.25
"""Peak memory of the ten times longer log over that of the short one."""
MEMORY_CONVERSATIONS: Final = 4_000
MOST_ROWS: Final = 20_000
TIMES: Final = 10
_SCRIPT: Final = """
import resource
from multimood.cli import app
try:
    app()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@dataclass(frozen=True, slots=True)
class Case:
    """A log and what was learned from it."""

    world: World
    found: Sequence[Row]
    held: Log
    taught: Taught
    train: Log

    @classmethod
    def of(cls, seed: int, conversations: int, world: World | None = None) -> "Case":
        """Simulate a log and part it."""
        own = World("mesc", 8, *logging_world()[LED]) if world is None else world
        found = list(rows(converse(own, conversations, np.random.default_rng((seed, conversations))), f"b{seed}"))
        parts = [load(lambda _columns: iter(found), Wanted(seed=seed), part).log for part in ("train", "held")]
        return cls(own, found, parts[1], Taught.of(parts[0]), parts[0])

    def learned(self, learner: str, seed: int) -> OnState:
        """By a learner's defaults."""
        settings = Settings(seed=seed)
        network = learner_of(learner)(self.train, self.taught, settings, Unwatched())
        return OnState.of(kept_near(network, self.taught, settings.bounds)[0], learner)

    def upside_down(self) -> "Case":
        """The same log as if what hurt had helped."""
        rewards = 1 - self.taught.log.rewards
        turned = replace(self.taught, log=replace(self.taught.log, rewards=rewards))
        return replace(self, taught=turned)


def main() -> int:
    """Run, print, write."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--seeds", type=int, default=0, help="logs of the coverage (100; with --quick 5)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--processes", type=int, default=1, help="of the coverage")
    options = parser.parse_args()
    seeds = options.seeds or (5 if options.quick else 100)
    began, goals, figures = time.monotonic(), list[harness.Goal](), dict[str, Any]()
    console = harness.console()
    work: dict[str, Callable[[Progress], tuple[dict[str, Any], list[harness.Goal]]]] = {
        "value": lambda bar: value(2 if options.quick else LOGS, bar),
        "gate": lambda bar: gate(2 if options.quick else LOGS, bar),
        "coverage": lambda bar: coverage(seeds, options.processes, bar),
        "memory": memory,
    }
    with Progress(console=console) as bar:
        for name in options.only:
            figures[name], own = work[name](bar)
            goals += own
    figures["seconds"] = round(time.monotonic() - began)
    harness.report(console, _table(figures), goals, figures, options.json)
    return 0 if all(goal.met for goal in goals) else 1


def value(logs: int, bar: Progress) -> tuple[dict[str, Any], list[harness.Goal]]:
    """Learn from several logs; the truth of each learned policy, mean and spread over the logs."""
    learners = ("direct", "bandit", *(("cql",) if find_spec("d3rlpy") else ()))
    task = bar.add_task("value", total=logs * len(learners) + 1)
    world = World("mesc", 8, *logging_world()[LED])
    found: dict[str, Any] = {"logged": _truth(world, Logged()), "optimum": _optimum(world)}
    bar.advance(task)
    worths: dict[str, list[dict[str, Any]]] = {learner: [] for learner in learners}
    for seed in range(FIRST_SEED, FIRST_SEED + logs):
        case = Case.of(seed, CONVERSATIONS)
        for learner in learners:
            policy = case.learned(learner, seed)
            (told,) = evaluate(case.held, Question(policy, ("dr",)))
            held = [told.value, told.low, told.high] if isinstance(told, Estimate) else None
            worths[learner].append(_truth(world, policy) | {"held_out": held})
            bar.advance(task)
    goals = []
    for learner, some in worths.items():
        turns, whole = ([one[name]["value"] for one in some] for name in ("turn", "conversation"))
        found[learner] = {"turn": _spread(turns), "conversation": _spread(whole), "logs": some}
        if learner != "direct":
            least = min(turns) - found["logged"]["turn"]["value"]
            goals.append(harness.Goal(f"{learner}: least gain over the logged policy, of a turn", least, 0.02))
    return found, goals


def gate(logs: int, bar: Progress) -> tuple[dict[str, Any], list[harness.Goal]]:
    """How often who passes."""
    passed: dict[str, int] = dict.fromkeys(("good", "harmful", "unsupported", "clone"), 0)
    reasons: dict[str, list[str]] = {name: [] for name in passed}
    task = bar.add_task("gate", total=logs)
    for seed in range(FIRST_SEED, FIRST_SEED + logs):
        case = Case.of(seed, CONVERSATIONS)
        challengers: dict[str, tuple[Log, Policy]] = {
            "good": (case.held, case.learned("bandit", seed)),
            "harmful": (case.held, case.upside_down().learned("bandit", seed)),
            "clone": (case.held, case.learned("direct", seed)),
            "unsupported": (_narrow(seed).held, _always(case.taught, "structuring the therapy")),
        }
        for name, (log, policy) in challengers.items():
            verdict: Verdict = judge(log, policy, Logged(), Rules(seed=seed))
            passed[name] += verdict.passed
            reasons[name] += [why.split(":")[0] for why in verdict.reasons]
        bar.advance(task)
    goals = [harness.Goal("the good challenger passes, share of logs", passed["good"] / logs, GOAL)]
    goals += [
        harness.Goal(f"{name} challengers that pass", passed[name], 0, at_least=False)
        for name in ("harmful", "unsupported", "clone")
    ]
    counted = {name: {why: some.count(why) for why in sorted(set(some))} for name, some in reasons.items()}
    return {"logs": logs, "passed": passed, "reasons": counted}, goals


def coverage(seeds: int, processes: int, bar: Progress) -> tuple[dict[str, Any], list[harness.Goal]]:
    """Of each estimator on held-out conversations, for the policy that was learned from the others."""
    task = bar.add_task("coverage", total=seeds)
    answers: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in ESTIMATORS}
    refused = dict.fromkeys(ESTIMATORS, 0)
    with ProcessPoolExecutor(processes) as pool:
        for truth, some in pool.map(_answers, range(FIRST_SEED, FIRST_SEED + seeds)):
            for name, answer in some.items():
                if answer is None:
                    refused[name] += 1
                else:
                    answers[name].append((truth, *answer))
            bar.advance(task)
    found = {name: _covered(some) | {"refused": refused[name]} for name, some in answers.items() if some}
    goals = [harness.Goal(f"{name}: coverage", one["coverage"], GOAL) for name, one in found.items()]
    about = {"seeds": [FIRST_SEED, FIRST_SEED + seeds], "conversations": CONVERSATIONS_OFTEN, "played": PLAYED_OFTEN}
    return about | {"estimators": found}, goals


def _answers(seed: int) -> tuple[float, dict[str, tuple[float, float, float] | None]]:
    """What a policy learned from one log is worth, and what each estimator says; None: refused."""
    case = Case.of(seed, CONVERSATIONS_OFTEN)
    policy = case.learned("bandit", seed)
    truth = value_of_turns(case.world, policy, conversations=PLAYED_OFTEN, seed=TRUTH_SEED + seed).value
    given = evaluate(case.held, Question(policy, ESTIMATORS, seed=seed))
    return truth, {one.estimator: _told(one) for one in given}


def _told(answer: Estimate | Refusal) -> tuple[float, float, float] | None:
    return (answer.value, answer.low, answer.high) if isinstance(answer, Estimate) else None


def _covered(some: Sequence[tuple[float, float, float, float]]) -> dict[str, Any]:
    truth, value, low, high = np.array(some).T
    inside = (low <= truth) & (truth <= high)
    return {
        "answered": len(some), "covered": int(inside.sum()), "coverage": float(inside.mean()),
        "bias": float((value - truth).mean()), "rmse": float(np.sqrt(np.square(value - truth).mean())),
        "width": float((high - low).mean()),
    }  # fmt: skip


def memory(bar: Progress) -> tuple[dict[str, Any], list[harness.Goal]]:
    """Peak resident memory of the command, on a log and on ten of it with other ids."""
    task = bar.add_task("memory", total=3)
    with harness.folder() as place:
        short, long = place / "short", place / "long"
        world = World("mesc", 8, *logging_world()[LED])
        written = save(rows(converse(world, MEMORY_CONVERSATIONS, np.random.default_rng(0)), "m"), short, 5_000)
        for number in range(TIMES):
            _copy(short, long / str(number), number)
        bar.advance(task)
        found = []
        for log, times in ((short, 1), (long, TIMES)):
            peak, seconds = _trained(log, place / f"run-{times}")
            found.append({"rows": written * times, "peak_mb": peak, "seconds": seconds})
            bar.advance(task)
    ratio = found[1]["peak_mb"] / found[0]["peak_mb"]
    told = {"most_rows": MOST_ROWS, "runs": found}
    return told, [harness.Goal(f"peak memory, {TIMES} times the rows", ratio, FLAT, at_least=False)]


def _copy(log: Path, to: Path, number: int) -> None:
    """The log with other ids: another log of other conversations."""
    for file in log.rglob("reply-*.parquet"):
        table = pq.read_table(file)
        for name in ("row_id", "conversation_id", "utterance_id"):
            other = pa.array([f"{number:02d}{one[2:]}" for one in table.column(name).to_pylist()])
            table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), other)
        target = to / file.relative_to(log)
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, target, compression="zstd")


def _trained(log: Path, out: Path) -> tuple[float, float]:
    """Train as a person would; gives MB and seconds."""
    arguments = ["rl", "train", str(log), "--out", str(out), "--most-rows", str(MOST_ROWS)]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *arguments], env={**os.environ, **harness.ONE_THREAD},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return int(done.stdout.split()[-1]) / 1024, round(time.monotonic() - began, 1)


def _truth(world: World, policy: Policy) -> dict[str, Any]:
    turn = value_of_turns(world, policy, conversations=PLAYED, seed=TRUTH_SEED)
    lead = None if isinstance(policy, Logged) else policy
    whole = value_of_conversations(world, lead, conversations=PLAYED, seed=TRUTH_SEED)
    told = (("turn", turn), ("conversation", whole))
    return {name: {"value": one.value, "error": one.error} for name, one in told}


def _optimum(world: World) -> dict[str, Any]:
    found = value_of_conversations(world, conversations=PLAYED, seed=TRUTH_SEED, informed=Optimum.of(world))
    return {"conversation": {"value": found.value, "error": found.error}}


def _narrow(seed: int) -> Case:
    """A log that hardly explores: what the policy does not want has less than a probability of 1 in 200."""
    poor = logging_world()[LED][1]
    return Case.of(seed, CONVERSATIONS, World("mesc", 8, epsilon_soft(_Sharp(poor), 0.02), poor))


@dataclass(frozen=True)
class _Sharp:
    """A policy that does what it likes best, mostly."""

    policy: Policy
    name: str = "sharp"

    def probabilities(self, turns: Any) -> Any:
        """[n, k]: the square of the square, scaled."""
        shares = self.policy.probabilities(turns) ** 8
        return shares / shares.sum(axis=1, keepdims=True)


def _always(taught: Taught, strategy: str) -> OnState:
    names = strategies_of(taught.log.state_version)
    layer = Layer(np.zeros((taught.state.shape[1], len(names))), np.where(np.array(names) == strategy, 30.0, 0.0))
    return OnState.of(network_of(taught, Scale.of(taught.state), (layer,)), strategy)


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "least": min(values), "most": max(values)}


def _table(figures: Mapping[str, Any]) -> Table:
    shown = Table(box=None, pad_edge=False)
    for name in ("part", "what", "figures"):
        shown.add_column(name)
    for part, what, told in _lines(figures):
        shown.add_row(part, what, told)
    return shown


def _lines(figures: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name, one in figures.get("value", {}).items():
        if "logs" in one:
            spreads = ((what, one[what]) for what in ("turn", "conversation"))
            told = [f"{what} {it['mean']:.4f} ({it['least']:.4f}..{it['most']:.4f})" for what, it in spreads]
            yield "value", name, ", ".join(told)
        else:
            yield "value", name, ", ".join(f"{what} {it['value']:.4f} +- {it['error']:.4f}" for what, it in one.items())
    for name, number in figures.get("gate", {}).get("passed", {}).items():
        why = json.dumps(figures["gate"]["reasons"][name])
        yield "gate", name, f"passed {number} of {figures['gate']['logs']}; {why}"
    for name, one in figures.get("coverage", {}).get("estimators", {}).items():
        yield (
            "coverage",
            name,
            (
                f"{one['covered']}/{one['answered']} covered, {one['refused']} refused, bias {one['bias']:+.4f}, RMSE "
                f"{one['rmse']:.4f}, width {one['width']:.4f}"
            ),
        )
    for one in figures.get("memory", {}).get("runs", []):
        yield "memory", f"{one['rows']:,} rows", f"{one['peak_mb']:.0f} MB, {one['seconds']:g} s"


if __name__ == "__main__":
    sys.exit(main())
