"""How the joiner's cost grows: `python -m benchmarks.scale [--quick] [--json FILE]`.

The service joins a backlog while one thing at a time is changed: workers, partitions, conversations, the size of the
vectors. Utterances per second of wall time and per CPU-second of the workers together. Then memory: utterances that
wait for their screening, what one of them takes over the bytes of its three vectors; the slope between a small and a
large number, so that what the process takes anyway does not count.
"""

import asyncio
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from rich.table import Table

from benchmarks import harness, topics
from benchmarks.join import GIVE_UP_S, OURS, POLL_S, Load, fill
from multimood.local.process import Child, tail
from multimood.topics import FEATURES

FLOAT: Final = 4
MEMORY_GOAL: Final = 1.5
STEADY_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Case:
    """One thing changed."""

    name: str
    load: Load
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one case."""

    per_s: float
    per_cpu_s: float
    peak_mb: float
    """Of the largest worker."""


def cases(count: int) -> list[Case]:
    """Pairs beside the base."""
    base = Load(count)
    return [
        Case("base: 1 worker, 4 partitions, 1 KiB, a conversation each", base),
        Case("2 workers", base, 2),
        Case("1 partition", replace(base, partitions=1)),
        Case("12 partitions", replace(base, partitions=12)),
        Case("1,000 conversations", replace(base, conversations=1_000)),
        Case("100,000 conversations", replace(base, conversations=100_000, utterances=max(count, 100_000))),
        Case("vectors of 384", replace(base, vector_bytes=384 * FLOAT)),
        Case("vectors of 4,096", replace(base, vector_bytes=4_096 * FLOAT, utterances=count // 2)),
    ]


def workers(case: Case, brokers: str, folder: Path, ending: ExitStack, **settings: str) -> list[Child]:
    """Start them; all have partitions when this returns."""
    env = {"MULTIMOOD_KAFKA_BROKERS": brokers, "MULTIMOOD_KAFKA_GROUP_PREFIX": "bench", **settings}
    started = []
    for number in range(case.workers):
        log = folder / f"joiner{number}.log"
        started.append((ending.enter_context(harness.process([sys.executable, "-m", OURS.module], log, env)), log))
    for child, log in started:
        harness.wait_said(child, log, OURS.begun)
    return [child for child, _ in started]


def join(case: Case) -> Figures:
    """Join all of the load; the workers are there first, so that their rebalance is not what is timed."""
    load = case.load
    with harness.broker() as (brokers, folder), ExitStack() as ending:
        topics.apply(brokers, load.partitions)
        if case.workers == 1:
            fill(brokers, folder, load)
            (child,) = workers(case, brokers, folder, ending)
            joiners = [child]
        else:  # filled while the workers stand still
            joiners = workers(case, brokers, folder, ending)
            time.sleep(STEADY_S)
            for child in joiners:
                child.send(harness.STOP)
            fill(brokers, folder, load)
            for child in joiners:
                child.send(harness.CONTINUE)
        began, before = time.time(), [harness.Usage.of(child.pid) for child in joiners]
        with topics.admin(brokers) as client:
            while sum(topics.ends(client, FEATURES.name, load.partitions).values()) < load.utterances:
                if any(child.exit_code() is not None for child in joiners) or time.time() - began > GIVE_UP_S:
                    raise RuntimeError(f"{case.name} did not end: {tail(folder / 'joiner0.log')}")
                time.sleep(POLL_S)
        after = [harness.Usage.of(child.pid) for child in joiners]
        seconds = asyncio.run(topics.last_append_s(brokers, FEATURES.name, load.partitions)) - began
        cpu_s = sum(usage.cpu_s for usage in after) - sum(usage.cpu_s for usage in before)
        return Figures(load.utterances / seconds, load.utterances / cpu_s, max(usage.peak_mb for usage in after))


def steady_mb(child: Child) -> float:
    """Resident memory once it has stopped growing."""
    last, since = 0.0, time.monotonic()
    while time.monotonic() - since < STEADY_S:
        now = harness.Usage.of(child.pid).resident_mb
        if abs(now - last) > 0.5:
            last, since = now, time.monotonic()
        time.sleep(0.2)
    return last


def memory(floats: int, few: int, many: int) -> float:
    """Bytes that a pending utterance takes, over the bytes of its three vectors."""
    size = floats * FLOAT
    with harness.broker() as (brokers, folder), ExitStack() as ending:
        topics.apply(brokers, 4)
        patient = {
            "MULTIMOOD_JOINER_DEADLINE_S": "3600",
            "MULTIMOOD_JOINER_ORPHAN_S": "3600",
            "MULTIMOOD_JOINER_WAITING_RECORDS": "100000",
        }
        fill(brokers, folder, Load(few, size, complete=False))
        (child,) = workers(Case("", Load(few)), brokers, folder, ending, **patient)
        first = steady_mb(child)
        fill(brokers, folder, Load(many - few, size, first=few, complete=False))
        return (steady_mb(child) - first) * 2**20 / (many - few) / (3 * size)


def main() -> None:
    """Measure, print, write."""
    chosen = harness.arguments(__doc__).parse_args()
    console = harness.console()
    found: dict[str, Figures] = {}
    chosen_cases = cases(5_000 if chosen.quick else 40_000)
    if chosen.quick:
        chosen_cases = [case for case in chosen_cases if case.load.utterances <= 5_000]
    for case in chosen_cases:
        with console.status(case.name):
            found[case.name] = join(case)
        console.print(f"{case.name}: {found[case.name].per_s:,.0f}/s, {found[case.name].per_cpu_s:,.0f}/CPU-s")
    held = {}
    for floats, few, many in ((384, 1_000, 8_000), (4_096, 500, 3_000)):
        with console.status(f"memory, vectors of {floats}"):
            held[floats] = memory(floats, few, many)

    base = next(iter(found.values()))
    shown = Table("", "per second", "per CPU-second", "peak MB", "per second, ÷ base", "per CPU-second, ÷ base")
    for name, figures in found.items():
        shown.add_row(
            name,
            f"{figures.per_s:,.0f}",
            f"{figures.per_cpu_s:,.0f}",
            f"{figures.peak_mb:.0f}",
            f"{figures.per_s / base.per_s:.2f}",
            f"{figures.per_cpu_s / base.per_cpu_s:.2f}",
        )
    goals = [
        harness.Goal(f"memory per pending utterance ÷ its vectors of {floats}", ratio, MEMORY_GOAL, at_least=False)
        for floats, ratio in held.items()
    ]
    report = {"cases": {name: asdict(one) for name, one in found.items()}, "memory_ratio": held}
    harness.report(console, shown, goals, report, chosen.json)


if __name__ == "__main__":
    main()
