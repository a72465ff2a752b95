"""What the benchmarks share: a broker of their own, processes that are timed, medians of paired runs, results."""

import argparse
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from multimood.local.kafka import KafkaServer
from multimood.local.places import checkout
from multimood.local.ports import assign
from multimood.local.process import Child, tail
from multimood.local.server import wait_ready

START_S: Final = 240.0
STOP: Final = signal.SIGSTOP
CONTINUE: Final = signal.SIGCONT
TICKS: Final = os.sysconf("SC_CLK_TCK")
ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def arguments(purpose: str) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=purpose, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small and fast: for seeing that it works")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser


def machine() -> dict[str, Any]:
    """What a figure depends on, without names of machines or places."""
    about = dict(
        line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    )
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    return {
        "cores": os.cpu_count(),
        "cpu": next(iter(about.values()), "unknown").strip(),
        "memory_gib": round(int(memory.split()[1]) / 2**20),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "date": time.strftime("%Y-%m-%d"),
    }


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="multimood-bench-") as name:
        yield Path(name)


@contextmanager
def broker() -> Iterator[tuple[str, Path]]:
    """A fresh Kafka and a folder that is gone afterwards."""
    with folder() as place:
        log, ports = place / "kafka.log", assign(KafkaServer.PORTS)
        server = KafkaServer(place / "kafka", log, ports["kafka"], ports["kafka.controller"])
        server.start()
        try:
            wait_ready(server, log, START_S)
            yield server.brokers, place
        finally:
            server.stop()


@dataclass(frozen=True, slots=True)
class Usage:
    """A process and its threads so far."""

    cpu_s: float
    peak_mb: float
    resident_mb: float

    @classmethod
    def of(cls, pid: int) -> "Usage":
        """Of a running process."""
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        return cls(
            (int(fields[11]) + int(fields[12])) / TICKS,
            int(status["VmHWM"].split()[0]) / 1024,
            int(status["VmRSS"].split()[0]) / 1024,
        )


@contextmanager
def process(argv: Sequence[str], log: Path, env: Mapping[str, str], grace_s: float = 20.0) -> Iterator[Child]:
    """A process for the length of the block."""
    child = Child(argv, log=log, env={**os.environ, **ONE_THREAD, **env}, cwd=checkout())
    try:
        yield child
    finally:
        child.stop(grace_s)


def wait_said(child: Child, log: Path, marker: str, within_s: float = START_S) -> None:
    """Wait until the log holds the marker. Raises RuntimeError with the end of the log when the process ends before."""
    deadline = time.monotonic() + within_s
    while marker not in log.read_text(errors="replace"):
        if child.exit_code() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{log.stem} did not say {marker!r}; end of its log:\n{tail(log)}")
        time.sleep(0.005)


def console() -> Console:
    """Where results are printed; wide enough for the tables when nobody looks at it."""
    return Console() if sys.stdout.isatty() else Console(width=140)


def median(values: Sequence[float]) -> float:
    """The median, to four significant digits."""
    return float(f"{statistics.median(values):.4g}")


def spread(values: Sequence[float]) -> str:
    """Median, and between what and what it lay."""
    return f"{median(values):,g} ({min(values):,.4g}-{max(values):,.4g})"


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure against what it should be."""

    what: str
    value: float
    bound: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        """Tell whether it holds."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def report(console: Console, shown: Table, goals: Sequence[Goal], figures: Mapping[str, Any], out: Path | None) -> None:
    """Print the table and what became of the goals; write the figures."""
    console.print(shown)
    for goal in goals:
        sign = ">=" if goal.at_least else "<="
        console.print(f"{goal.what}: {goal.value:.3g} (goal {sign} {goal.bound:g}): {'met' if goal.met else 'MISSED'}")
    if out is not None:
        held = [
            {"goal": goal.what, "value": goal.value, "bound": goal.bound, "at_least": goal.at_least, "met": goal.met}
            for goal in goals
        ]
        out.write_text(json.dumps({"machine": machine(), **figures, "goals": held}, indent=1) + "\n")
