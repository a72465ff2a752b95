"""What N conversations need, on paper: measured costs of a turn times how often somebody says something.

`python -m benchmarks.capacity` prints the table of docs/operations.md. It reads what the other benchmarks measured on
two cores (benchmarks/results) and the models' figures (docs/runs/models.json), and multiplies; nothing is measured
here. A conversation is somebody who is talking now: whoever has paused costs a state on the broker and nothing else.
"""

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.encoders import TASKS

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results"
SIZES: Final = (100, 1_000, 10_000, 100_000, 1_000_000)
HEAD: Final = (
    "talking at once", "turns a second", "cores for services", "for models", "pods of the busiest", "partitions",
    "replies being written",
)  # fmt: skip
REPLY_S: Final = 3.0
"""A language model's time for a reply: an assumption, for it is yours."""
EMBEDDED_TEXTS: Final = 4
"""A turn's: the words, the reply for the turns after it, and both once more for the judges."""
OURS: Final = "ours"
OWN_MS: Final = {"gateway": 0.3, "strategist": 0.8, "responder": 2.0, "reward": 0.7}
"""Own code of a turn, p50, of docs/benchmarks.md ("What a hop adds"): time on a busy machine, so rather too much."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Seconds of one core that a turn takes, by who takes them."""

    triton: float
    services: dict[str, float]


def measured(results: Path = RESULTS, runs: Path = ROOT / "docs" / "runs") -> dict[str, float]:
    """Seconds of one core for each event of its kind."""
    encoders = _latest(results, "encoders")["rounds"]
    hops, join = _latest(results, "hops")["hops"], _latest(results, "join")
    models = {one["model"]: one for one in json.loads((runs / "models.json").read_text())["models"]}
    alone = {name: 1 / median(one["alone_per_s"] for one in rounds) for name, rounds in encoders.items()}
    together = max(batch["per_s"] for batch in models["fusion"]["batches"])
    return {
        "text": alone["text_encoder"],
        "audio": alone["audio_encoder"],
        "video": alone["video_encoder"],
        "fusion": 1 / together,
        "sentinel": 0.5 / hops["sentinel, half"]["per_s"],
        "joiner": 1
        / median(one["per_cpu_s"] for round_ in join["rounds"] for one in round_ if one["contender"] == OURS),
        # The service's CPU, decoding included.
        **{
            f"{task.name}, own": median(one["service_cpu_s"] for one in encoders[task.name]) / task.count
            for task in TASKS
        },
    }


def turn(cost: dict[str, float], audio: float, video: float) -> Turn:
    """The cost of an average turn, where these shares have sound and film beside words."""
    services = {name: ms / 1000 for name, ms in OWN_MS.items()}
    services |= {
        "sentinel": cost["sentinel"], "joiner": cost["joiner"], "text-encoder": cost["text_encoder, own"],
        "audio-encoder": audio * cost["audio_encoder, own"], "video-encoder": video * cost["video_encoder, own"],
    }  # fmt: skip
    triton = EMBEDDED_TEXTS * cost["text"] + cost["fusion"] + audio * cost["audio"] + video * cost["video"]
    return Turn(triton, services)


def rows(cost: Turn, every_s: float = 30.0, busy: float = 0.5) -> list[tuple[str, ...]]:
    """A row of `HEAD` for each number of conversations; a core is planned to be busy for that share of the time."""
    name, most = max(cost.services.items(), key=lambda one: one[1])
    found: list[tuple[str, ...]] = []
    for size in SIZES:
        rate = size / every_s
        services, models, pods = (
            math.ceil(rate * one / busy) for one in (sum(cost.services.values()), cost.triton, most)
        )
        found.append(
            (
                f"{size:,}",
                f"{rate:,.0f}",
                f"{services:,}",
                f"{models:,}",
                f"{name}: {max(2, pods):,}",
                f"{12 * max(1, math.ceil(pods / 12)):,}",
                f"{rate * REPLY_S:,.0f}",
            )
        )
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=float, default=30.0, help="seconds between two turns of a conversation")
    parser.add_argument("--audio", type=float, default=0.3, help="share of the turns with sound")
    parser.add_argument("--video", type=float, default=0.1, help="share of the turns with film")
    parser.add_argument("--busy", type=float, default=0.5, help="share of a core that is planned with")
    options = parser.parse_args()
    cost = turn(measured(), options.audio, options.video)
    console, table = Console(width=140), Table(*HEAD)
    for row in rows(cost, options.every, options.busy):
        table.add_row(*row)
    console.print(table)
    shares = ", ".join(f"{name} {1000 * s:.2f}" for name, s in sorted(cost.services.items(), key=lambda one: -one[1]))
    console.print(f"CPU of a turn, ms: models {1000 * cost.triton:.0f}; {shares}")


def _latest(results: Path, name: str) -> Any:
    return json.loads(max(results.glob(f"*-{name}.json")).read_text())


if __name__ == "__main__":
    main()
