# ruff: noqa: T201 - a command for people
"""Fuzz what comes from outside: `python -m tests.fuzz.run --events 100000 --media 2000 --report file.json`.

Events: hostile records of every topic, through the envelope and through every service that reads the topic. Media:
damaged and lying files of every kind, through both decoders. The same seed gives the same cases. Exit code 1: something
was found; its input then lies in the folder given by --inputs.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from fuzz.outcome import Outcome  # noqa: E402
from fuzz.pool import run_all  # noqa: E402

LIMIT_S = {"event": 10.0, "media": 40.0}
"""A case that takes longer is a finding. Media: sound and pictures, each 6 s and what its process may take more."""
MOST_MIB = {"event": 256.0, "media": 600.0}
"""A case after which the process' peak is by so much higher is a finding."""
TOLD_EVERY_S = 5.0
NOTHING = Outcome("nothing")


@dataclass
class Tally:
    """What became of the cases of one kind."""

    kind: str
    planned: int
    inputs: Path
    seed: str
    ends: dict[str, Counter[str]] = field(default_factory=dict)
    slowest: Outcome = NOTHING
    largest: Outcome = NOTHING
    findings: list[dict[str, Any]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    _told: float = 0.0

    @property
    def cases(self) -> int:
        return sum(counter.total() for counter in self.ends.values())

    def take(self, target: str, number: int, outcome: Outcome, left: Path | None) -> None:
        """Count an end; keep the input of a finding."""
        finding = outcome.finding
        if not finding and outcome.peak_mib > MOST_MIB[self.kind]:
            finding = f"memory: {outcome.peak_mib:.0f} MiB"
        self.ends.setdefault(target, Counter())["finding" if finding else outcome.end] += 1
        self.slowest = max(self.slowest, outcome, key=lambda one: one.seconds)
        self.largest = max(self.largest, outcome, key=lambda one: one.peak_mib)
        if finding:
            self.findings.append({"target": target, "number": number, "what": finding})
            self._keep(target, number, left)
            print(f"FOUND {target} {number}: {finding}", flush=True)
        if time.monotonic() - self._told > TOLD_EVERY_S or self.cases == self.planned:
            self._told = time.monotonic()
            rate = self.cases / (self._told - self.began)
            found = len(self.findings)
            print(f"{self.kind}: {self.cases}/{self.planned}, {rate:.0f} a second, {found} findings", flush=True)

    def _keep(self, target: str, number: int, left: Path | None) -> None:
        self.inputs.mkdir(parents=True, exist_ok=True)
        place = self.inputs / f"{target}-{number}"
        if left is not None and left.exists():
            shutil.copy(left, place)
        elif self.kind == "event":
            from fuzz.child import chance_of
            from fuzz.hostile import case_of

            from multimood.topics import BY_NAME

            place.write_bytes(case_of(BY_NAME[target], chance_of(self.seed, target, number)).record.value or b"")

    def report(self) -> Mapping[str, Any]:
        """The kind's part of the report."""
        together: Counter[str] = sum(self.ends.values(), Counter())
        return {
            "cases": self.cases,
            "seconds": round(time.monotonic() - self.began, 1),
            "outcomes": dict(sorted(together.items())),
            "by_type": {target: dict(sorted(counter.items())) for target, counter in sorted(self.ends.items())},
            "slowest_case_s": round(self.slowest.seconds, 3),
            "limit_s": LIMIT_S[self.kind],
            "peak_memory_mib": round(self.largest.peak_mib, 1),
            "memory_limit_mib": MOST_MIB[self.kind],
            "findings": self.findings,
        }


def fuzz(kind: str, targets: Sequence[str], count: int, *, seed: str, processes: int, inputs: Path) -> Tally:
    """Run `count` cases, spread evenly over the targets."""
    cases = [(targets[number % len(targets)], number // len(targets)) for number in range(count)]
    tally = Tally(kind, count, inputs, seed)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        run_all(kind, seed, cases, limit_s=LIMIT_S[kind], processes=processes, scratch=Path(scratch), seen=tally.take)
    return tally


def targets_of(kind: str) -> Sequence[str]:
    """What there is to fuzz: topics, or kinds of files."""
    if kind == "event":
        from multimood.topics import TOPICS

        return [topic.name for topic in TOPICS]
    from fuzz.files import TARGETS

    return TARGETS


def main() -> int:
    """Run, print, write the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--media", type=int, default=2_000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--processes", type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument("--inputs", type=Path, default=Path(tempfile.gettempdir()) / "multimood-fuzz")
    parser.add_argument("--report", type=Path)
    chosen = parser.parse_args()
    parts: dict[str, Any] = {}
    for kind, name, count in (("event", "events", chosen.events), ("media", "media", chosen.media)):
        if count:
            tally = fuzz(
                kind, targets_of(kind), count, seed=chosen.seed, processes=chosen.processes, inputs=chosen.inputs
            )
            parts[name] = tally.report()
            print(json.dumps({key: parts[name][key] for key in parts[name] if key != "by_type"}, indent=1))
    found = sum(len(part["findings"]) for part in parts.values())
    report = {
        "date": datetime.now(UTC).date().isoformat(), "seed": chosen.seed, "python": platform.python_version(),
        "processes": chosen.processes, "findings": found, **parts,
    }  # fmt: skip
    if chosen.report:
        chosen.report.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print(f"{found} findings" + (f", their inputs are in {chosen.inputs}" if found else ""))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
