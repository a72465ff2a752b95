"""Off-policy estimates beside the simulator's truth: `python -m benchmarks.ope [--seeds N] [--json FILE]`.

For every seed a new log is simulated, read as any log is, and several policies are evaluated by every estimator.
Counted is how often the 95 % interval covers the true value (played out in the simulator, 60,000 conversations); the
naive mean of the log is beside it. Estimates that were refused count nowhere; how many they were is in the table.
"""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from rich.progress import Progress
from rich.table import Table

from benchmarks import harness
from multimood.ope import (
    OF_CONVERSATIONS,
    OF_TURNS,
    Estimate,
    Greedy,
    Policy,
    Question,
    Uniform,
    evaluate,
    near_logged,
    read,
)
from multimood.simulator import World, converse, rows, value_of_conversations, value_of_turns

POLICIES: Final[Mapping[str, Policy]] = MappingProxyType(
    {
        "uniform": Uniform(),
        "uniform, half way": near_logged(Uniform(), 0.5),
        "greedy, half way": near_logged(Greedy(), 0.5),
    }
)
SIZES: Final = (400,)
PLAYED: Final = 60_000
FIRST_SEED: Final = 3_000
"""Limits and estimators were tried on lower ones."""
TRUTH_SEED: Final = 1_000_003
"""Not one of the logs' seeds."""
GOAL: Final = 0.90


@dataclass(frozen=True, slots=True)
class Answer:
    """An estimate of one log."""

    policy: str
    conversations: int
    estimator: str
    seed: int
    estimate: tuple[float, float, float] | None
    """Value and interval; None: refused."""
    ess: float


def main() -> int:
    """Run, print, write."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=0, help="logs of each size (100; with --quick 5)")
    parser.add_argument("--conversations", type=int, nargs="+", default=SIZES, help="sizes of the logs")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    seeds = options.seeds or (5 if options.quick else 100)
    began = time.monotonic()
    truths = {name: _truth(policy) for name, policy in POLICIES.items()}
    answers: list[Answer] = []
    logs = list(product(options.conversations, range(FIRST_SEED, FIRST_SEED + seeds)))
    with Progress() as progress, ProcessPoolExecutor(options.processes) as pool:
        bar = progress.add_task("simulated logs", total=len(logs))
        for some in pool.map(_answers, *zip(*logs, strict=True)):
            answers += some
            progress.advance(bar)
    cells = list(_cells(answers, truths, options.conversations))
    goals = [
        harness.Goal(
            f"{cell['estimator']}, {cell['policy']}, {cell['conversations']}: coverage", cell["coverage"], GOAL
        )
        for cell in cells
        if cell["coverage"] is not None and cell["estimator"] not in {"mean", "return"}
    ]
    figures = {
        "seeds": [FIRST_SEED, FIRST_SEED + seeds],
        "seconds": round(time.monotonic() - began),
        "truths": truths,
        "cells": cells,
    }
    harness.report(harness.console(), _table(cells), goals, figures, options.json)
    return 0 if all(goal.met for goal in goals) else 1


def _truth(policy: Policy) -> dict[str, Any]:
    world = World()
    return {
        "turn": asdict(value_of_turns(world, policy, conversations=PLAYED, seed=TRUTH_SEED)),
        "conversation": asdict(value_of_conversations(world, policy, conversations=PLAYED, seed=TRUTH_SEED)),
    }


def _answers(conversations: int, seed: int) -> list[Answer]:
    log = read(rows(converse(World(), conversations, np.random.default_rng((seed, conversations))))).log
    found = []
    for name, policy in POLICIES.items():
        for answer in evaluate(log, Question(policy, (*OF_TURNS, *OF_CONVERSATIONS), seed=seed)):
            given = (answer.value, answer.low, answer.high) if isinstance(answer, Estimate) else None
            found.append(Answer(name, conversations, answer.estimator, seed, given, answer.support.ess))
    return found


def _cells(answers: Sequence[Answer], truths: Mapping[str, Any], sizes: Sequence[int]) -> Iterator[dict[str, Any]]:
    """One for each policy, size and estimator."""
    for policy, size, estimator in product(POLICIES, sizes, (*OF_TURNS, *OF_CONVERSATIONS)):
        asked = [a for a in answers if (a.policy, a.conversations, a.estimator) == (policy, size, estimator)]
        given = np.array([a.estimate for a in asked if a.estimate is not None]).reshape(-1, 3)
        truth = truths[policy]["turn" if estimator in OF_TURNS else "conversation"]["value"]
        value, low, high = given.T
        some = len(given) > 0
        yield {
            "policy": policy,
            "conversations": size,
            "estimator": estimator,
            "truth": truth,
            "answered": len(given),
            "refused": len(asked) - len(given),
            "covered": int(((low <= truth) & (truth <= high)).sum()),
            "coverage": float(((low <= truth) & (truth <= high)).mean()) if some else None,
            "bias": float((value - truth).mean()) if some else None,
            "rmse": float(np.sqrt(np.square(value - truth).mean())) if some else None,
            "width": float((high - low).mean()) if some else None,
            "ess": float(np.median([a.ess for a in asked])),
        }


def _table(cells: Sequence[Mapping[str, Any]]) -> Table:
    shown = Table(box=None, pad_edge=False)
    for name in ("policy", "conversations", "estimator", "truth", "covered", "refused", "bias", "RMSE", "width", "ESS"):
        shown.add_column(name, justify="left" if name in {"policy", "estimator"} else "right")
    for cell in cells:
        figures = ["-" if cell[name] is None else f"{cell[name]:.4f}" for name in ("bias", "rmse", "width")]
        shown.add_row(
            cell["policy"], str(cell["conversations"]), cell["estimator"], f"{cell['truth']:.4f}",
            f"{cell['covered']}/{cell['answered']}", str(cell["refused"]), *figures, f"{cell['ess']:.0f}",
        )  # fmt: skip
    return shown


if __name__ == "__main__":
    sys.exit(main())
