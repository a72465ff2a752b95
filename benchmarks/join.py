"""The join, side by side with others: `python -m benchmarks.join [--quick] [--json FILE] [--only NAMES]`.

On one broker, from the same five topics (an utterance, its screening and three embeddings of 1 KiB; all of it there
before anybody starts), each contender writes one record per utterance: our joiner as the service it is, bare loops on
aiokafka and confluent-kafka, Faust with and without a table, Quix Streams. All but "bytes" parse the five records and
write the same `Features`; "bytes" glues the values together unread, which no joiner of ours could do.

Timed from the first record in hand to the append of the last output (the broker's clock), each in a process of its own.
One round runs each once; ratios are taken within a round.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks import harness, topics
from multimood.local.places import checkout
from multimood.local.process import tail
from multimood.topics import FEATURES

PARTITIONS: Final = 4
VECTOR_BYTES: Final = 1024
GIVE_UP_S: Final = 300.0
POLL_S: Final = 0.1
BEGUN: Final = "the first record is here"
OTHER_PYTHON: Final = checkout() / ".venv-bench" / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody who does the job."""

    name: str
    module: str
    what: str
    share: float = 1.0
    """Of the utterances: the slow ones need not do all to show their rate."""
    apart: bool = False
    """Runs in .venv-bench."""
    raw: bool = False
    begun: str = BEGUN
    goal: float | None = None


OURS: Final = Contender("ours", "services.joiner", "our joiner service", begun="partition taken over")
CONTENDERS: Final = (
    OURS,
    Contender("bare", "benchmarks.contenders.bare", "bare aiokafka loop", goal=0.70),
    Contender("confluent", "benchmarks.contenders.confluent", "bare confluent-kafka loop", apart=True, goal=0.5),
    Contender("faust", "benchmarks.contenders.faust_agent", "plain Faust agent", 0.2),
    Contender("faust_table", "benchmarks.contenders.faust_table", "Faust Table with changelog", 0.1, goal=15),
    Contender("quix", "benchmarks.contenders.quix", "Quix Streams, concat + state", apart=True, goal=3),
    Contender("bare_bytes", "benchmarks.contenders.bare", "bare aiokafka loop, bytes", raw=True),
    Contender("confluent_bytes", "benchmarks.contenders.confluent", "bare confluent loop, bytes", apart=True, raw=True),
)


@dataclass(frozen=True, slots=True)
class Run:
    """One contender once."""

    contender: str
    utterances: int
    seconds: float
    cpu_s: float
    peak_mb: float

    @property
    def per_s(self) -> float:
        """Utterances per second of wall time."""
        return self.utterances / self.seconds

    @property
    def per_cpu_s(self) -> float:
        """Utterances per second of the process' CPU time."""
        return self.utterances / self.cpu_s


def run(contender: Contender, brokers: str, folder: Path, count: int, number: int) -> Run:
    """Let it join `count` utterances and stop it."""
    ours = contender is OURS
    if ours:  # or it would find that all is done
        topics.empty(brokers, FEATURES.name, PARTITIONS)
    out = FEATURES.name if ours else topics.fresh(brokers, PARTITIONS)
    group = f"bench-{contender.name}-{number}"
    env = {"BENCH_BROKERS": brokers, "BENCH_GROUP": group, "BENCH_OUT": out, "BENCH_BYTES": "1" * contender.raw}
    if ours:
        env = {"MULTIMOOD_KAFKA_BROKERS": brokers, "MULTIMOOD_KAFKA_GROUP_PREFIX": group}
    log = folder / f"{group}.log"
    python = str(OTHER_PYTHON) if contender.apart else sys.executable
    with topics.admin(brokers) as client:
        before = sum(topics.ends(client, out, PARTITIONS).values())
        with harness.process([python, "-m", contender.module], log, env, grace_s=15 if ours else 3) as child:
            harness.wait_said(child, log, contender.begun)
            began, used = time.time(), harness.Usage.of(child.pid)
            made = 0
            while made < count:
                if child.exit_code() is not None or time.time() - began > GIVE_UP_S:
                    raise RuntimeError(f"{contender.name} made {made} of {count}: {tail(log)}")
                time.sleep(POLL_S)
                made = sum(topics.ends(client, out, PARTITIONS).values()) - before
            usage = harness.Usage.of(child.pid)
    ended = asyncio.run(topics.last_append_s(brokers, out, PARTITIONS))
    return Run(contender.name, made, ended - began, usage.cpu_s - used.cpu_s, usage.peak_mb)


@dataclass(frozen=True, slots=True)
class Load:
    """What lies in the topics."""

    utterances: int
    vector_bytes: int = VECTOR_BYTES
    partitions: int = PARTITIONS
    conversations: int = 0
    """0: one for each utterance."""
    first: int = 0
    complete: bool = True

    @property
    def argv(self) -> list[str]:
        """For the process that publishes it."""
        numbers = (self.utterances, self.vector_bytes, self.partitions, self.conversations or 10**9, self.first)
        return [*map(str, numbers), *(() if self.complete else ("SKIP",))]


def fill(brokers: str, folder: Path, load: Load) -> None:
    """Publish everything."""
    argv = [str(OTHER_PYTHON), "-m", "benchmarks.contenders.fill", *load.argv]
    log = folder / "fill.log"
    with harness.process(argv, log, {"BENCH_BROKERS": brokers}) as child:
        while (code := child.exit_code()) is None:
            time.sleep(0.2)
        if code:
            raise RuntimeError(f"filling ended with {code}: {tail(log)}")


def measure(chosen: Sequence[Contender], count: int, rounds: int, console: Console) -> list[list[Run]]:
    """Rounds of runs, the order turning."""
    done: list[list[Run]] = []
    with harness.broker() as (brokers, folder), console.status("filling the topics") as status:
        topics.apply(brokers, PARTITIONS)
        fill(brokers, folder, Load(count))
        for number in range(rounds):
            turned = [*chosen[number % len(chosen) :], *chosen[: number % len(chosen)]]
            done.append([])
            for contender in turned:
                status.update(f"round {number + 1} of {rounds}: {contender.what}")
                wanted = int(count * contender.share)
                one = run(contender, brokers, folder, wanted, number)
                console.print(f"round {number + 1}, {contender.what}: {one.per_s:,.0f}/s, {one.per_cpu_s:,.0f}/CPU-s")
                done[-1].append(one)
    return done


def ratios(rounds: Sequence[Sequence[Run]], rate: str) -> dict[str, list[float]]:
    """Ours over theirs, round by round."""
    found: dict[str, list[float]] = {}
    for runs in rounds:
        by_name = {one.contender: getattr(one, rate) for one in runs}
        for name, theirs in by_name.items():
            if name != OURS.name and OURS.name in by_name:
                found.setdefault(name, []).append(by_name[OURS.name] / theirs)
    return found


def main() -> None:
    """Measure, print, write."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--only", help="comma-separated names: " + ", ".join(one.name for one in CONTENDERS))
    parser.add_argument("--rounds", type=int, help="rounds (default 3, quick 1)")
    parser.add_argument("--utterances", type=int, help="default 100000, quick 10000")
    chosen_by = parser.parse_args()
    if not OTHER_PYTHON.exists():
        parser.error("Quix Streams and confluent-kafka are in an environment of their own: run tools/bench-env.sh")
    names = chosen_by.only.split(",") if chosen_by.only else [one.name for one in CONTENDERS]
    chosen = [one for one in CONTENDERS if one.name in names]
    count = chosen_by.utterances or (10_000 if chosen_by.quick else 100_000)
    console = harness.console()
    rounds = measure(chosen, count, chosen_by.rounds or (1 if chosen_by.quick else 3), console)

    wall, cpu = ratios(rounds, "per_s"), ratios(rounds, "per_cpu_s")
    shown = Table("", "utterances", "per second", "per CPU-second", "peak MB", "ours ÷ theirs", "per CPU-second")
    for one in chosen:
        runs = [ran for runs in rounds for ran in runs if ran.contender == one.name]
        shown.add_row(
            one.what,
            f"{runs[0].utterances:,}",
            harness.spread([ran.per_s for ran in runs]),
            harness.spread([ran.per_cpu_s for ran in runs]),
            f"{max(ran.peak_mb for ran in runs):.0f}",
            harness.spread(wall[one.name]) if one.name in wall else "",
            harness.spread(cpu[one.name]) if one.name in cpu else "",
        )
    shown.caption = f"medians (lowest-highest) of {len(rounds)} rounds, one broker, {PARTITIONS} partitions"
    goals = [
        harness.Goal(f"join, ours ÷ {one.name}", harness.median(wall[one.name]), one.goal)
        for one in chosen
        if one.goal is not None and one.name in wall
    ]
    figures = {
        "ratios": {name: harness.median(values) for name, values in wall.items()},
        "ratios_per_cpu_s": {name: harness.median(values) for name, values in cpu.items()},
        "rounds": [
            [{**asdict(ran), "per_s": round(ran.per_s), "per_cpu_s": round(ran.per_cpu_s)} for ran in runs]
            for runs in rounds
        ],
        "utterances": count,
        "partitions": PARTITIONS,
        "vector_bytes": VECTOR_BYTES,
    }
    harness.report(console, shown, goals, figures, chosen_by.json)


if __name__ == "__main__":
    main()
