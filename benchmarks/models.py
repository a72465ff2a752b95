"""Each model through Triton: `python -m benchmarks.models [--quick] [--only MODELS] [--json FILE]`.

A server of its own for every model, started without any, so that its memory before and after loading can be told. Then
batches of 1, 8 and 32 utterances, one batch after another: milliseconds until the last answer of a batch is there,
and utterances a second. A model that takes fewer rows at a time gets as many requests as it needs, at once. What is
sent is made of the model's own configuration: 32 tokens, 3 s of sound (300 frames of mel), a film's 12 frames; values
are noise, for the time of these models does not depend on them. That of models that write words does: the responder is
in `benchmarks.first_token`, the transcriber in `benchmarks.pipeline`.

Memory is what the server and the model's process hold together, a page that both hold counted in both; at most: the
sum of what each held at its own peak.
"""

import asyncio
import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks import harness, memory
from multimood.inference import InferenceClient
from multimood.local.parts import TRITON_PORTS
from multimood.local.places import checkout
from multimood.local.ports import HOST, assign
from multimood.local.server import start_and_wait
from multimood.local.triton import TritonServer
from multimood.local.triton_http import TritonHttp
from multimood.local.triton_install import models
from multimood.settings import TritonSettings

BATCHES: Final = (1, 8, 32)
WRITERS: Final = frozenset({"responder", "transcriber"})
LENGTHS: Final = {"input_ids": 32, "attention_mask": 32, "mel": 300}
"""Of the dimension that may have any size."""
ROWS: Final = {"frames": 12}
"""Of an utterance, where one has several."""
TYPES: Final = {
    "TYPE_BOOL": np.bool_, "TYPE_UINT8": np.uint8, "TYPE_INT32": np.int32, "TYPE_INT64": np.int64,
    "TYPE_FP16": np.float16, "TYPE_FP32": np.float32,
}  # fmt: skip
DEADLINE_S: Final = 120.0

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Length:
    """How long a batch size is measured: at least so often, then until the time is over, at most so often."""

    warm_up: int
    least: int
    most: int
    seconds: float


WHOLE: Final = Length(warm_up=3, least=20, most=200, seconds=10.0)
QUICK: Final = Length(warm_up=1, least=3, most=20, seconds=0.3)


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of one batch size."""

    batch: int
    requests: int
    """That are on their way at once."""
    rows: int
    """Of the largest of them."""
    repeats: int
    p50_ms: float
    p95_ms: float
    per_s: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One model."""

    model: str
    sha256: str | None
    """Of its graph; None where it is a program."""
    max_batch_size: int
    rows_each: int
    """Of an utterance."""
    inputs: dict[str, list[int]]
    """Shape of a row."""
    before_mb: float
    loaded_mb: float
    batches: list[Batch]


def shapes(config: Mapping[str, Any]) -> dict[str, list[int]]:
    """Shape of one row by input. Raises RuntimeError for one of any size of which nobody has said how long it is."""
    found = {}
    for one in config["input"]:
        dims = [int(dim) for dim in one["dims"]]
        if any(dim < 0 for dim in dims) and one["name"] not in LENGTHS:
            raise RuntimeError(f"{config['name']}: {one['name']} is {dims}: say in LENGTHS how long it usually is")
        found[one["name"]] = [LENGTHS[one["name"]] if dim < 0 else dim for dim in dims]
    return found


def rows_each(config: Mapping[str, Any]) -> int:
    """Rows of an utterance."""
    return max(ROWS.get(one["name"], 1) for one in config["input"])


def most_rows(config: Mapping[str, Any]) -> int:
    """Of a request; 0 for a model that takes one row and has no dimension for more."""
    return int(config.get("max_batch_size", 0))


def rows_of(config: Mapping[str, Any], sent: Sequence[Arrays]) -> int:
    """Of the largest request."""
    return max(len(next(iter(one.values()))) for one in sent) if most_rows(config) else 1


def requests(config: Mapping[str, Any], batch: int, seed: int = 0) -> list[Arrays]:
    """A batch of utterances as the requests that the model takes."""
    each, most = rows_each(config), most_rows(config)
    fit = max(1, most // each)
    counts = [min(fit, batch - at) * each for at in range(0, batch, fit)]
    chance = np.random.default_rng(seed)
    return [
        {
            one["name"]: noise(chance, ([rows] if most else []) + shapes(config)[one["name"]], one["data_type"])
            for one in config["input"]
        }
        for rows in counts
    ]


def noise(chance: np.random.Generator, shape: Sequence[int], data_type: str) -> NDArray[Any]:
    """Numbers from 0 to 1, bytes, or ones, which are a token and a mask alike."""
    dtype = TYPES[data_type]
    if dtype == np.uint8:
        return chance.integers(0, 256, shape, np.uint8)
    if np.issubdtype(dtype, np.floating):
        return chance.random(shape, np.float32).astype(dtype)
    return np.ones(shape, dtype)


def usages(leader: int) -> list[harness.Usage]:
    """Of every process in the server's session."""
    found = []
    for pid in memory.members(leader):
        with suppress(OSError):
            found.append(harness.Usage.of(pid))
    return found


def resident_mb(leader: int) -> float:
    """What they hold together now."""
    return round(sum(one.resident_mb for one in usages(leader)), 1)


def forget_peaks(leader: int) -> None:
    """Let each one's peak begin anew at what it holds now."""
    for pid in memory.members(leader):
        with suppress(OSError):
            Path(f"/proc/{pid}/clear_refs").write_text("5")


async def timed(client: InferenceClient, model: str, batch: Sequence[Arrays], length: Length) -> list[float]:
    """Seconds of each repeat."""

    async def once() -> float:
        began = time.perf_counter()
        await asyncio.gather(*(client.infer(model, one) for one in batch))
        return time.perf_counter() - began

    for _ in range(length.warm_up):
        await once()
    took: list[float] = []
    while len(took) < length.least or (sum(took) < length.seconds and len(took) < length.most):
        took.append(await once())
    return took


async def measured(server: TritonServer, model: str, length: Length) -> Measured:
    """One model on a server that has none yet."""
    assert server.child is not None
    leader, http = server.child.pid, TritonHttp(f"http://{HOST}:{server.ports['triton.http']}")
    before = resident_mb(leader)
    http.load(model)
    loaded, config = resident_mb(leader), http.config(model)
    client = InferenceClient(TritonSettings(url=server.url, deadline_s=DEADLINE_S, max_in_flight=max(BATCHES)))
    batches = []
    try:
        for size in BATCHES:
            sent = requests(config, size)
            forget_peaks(leader)
            took = await timed(client, model, sent, length)
            p50, p95 = (round(float(np.percentile(took, share)) * 1000, 2) for share in (50, 95))
            peak = round(sum(one.peak_mb for one in usages(leader)), 1)
            per_s = round(size * len(took) / math.fsum(took), 1)
            batches.append(Batch(size, len(sent), rows_of(config, sent), len(took), p50, p95, per_s, peak))
    finally:
        await client.close()
    return Measured(model, digest(model), most_rows(config), rows_each(config), shapes(config), before, loaded, batches)


def digest(model: str) -> str | None:
    """Of a model's graph."""
    graph = checkout() / "triton_models" / model / "1" / "model.onnx"
    return hashlib.sha256(graph.read_bytes()).hexdigest() if graph.is_file() else None


def measure(model: str, folder: Path, length: Length) -> Measured:
    """One model on a server of its own."""
    log = folder / f"{model}.log"
    server = TritonServer(log=log, ports=assign(TRITON_PORTS), only=frozenset())
    try:
        start_and_wait(server, log, harness.START_S)
        return asyncio.run(measured(server, model, length))
    finally:
        server.stop()


def served() -> list[str]:
    """The models of the repository whose time does not depend on what they are told."""
    return [name for name in models(checkout() / "triton_models") if name not in WRITERS]


def run(names: Sequence[str], length: Length, console: Console) -> list[Measured]:
    """All of them, one after another."""
    found = []
    with harness.folder() as folder:
        for name in names:
            with console.status(name):
                found.append(measure(name, folder, length))
    return found


def main() -> None:
    """Measure, print, write."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--only", help="comma-separated: " + ", ".join(served()))
    chosen = parser.parse_args()
    names = chosen.only.split(",") if chosen.only else served()
    if unknown := set(names) - set(served()):
        parser.error(f"--only {', '.join(sorted(unknown))}: there are {', '.join(served())}")
    console = harness.console()
    found = run(names, QUICK if chosen.quick else WHOLE, console)
    shown = Table("model", "batch", "requests at once", "p50 ms", "p95 ms", "per second", "peak MB", "loaded", "before")
    for one in found:
        for row in one.batches:
            sent = f"{row.requests} of {row.rows} rows"
            times = (f"{value:,.1f}" for value in (row.p50_ms, row.p95_ms, row.per_s))
            held = (f"{value:.0f}" for value in (row.peak_mb, one.loaded_mb, one.before_mb))
            shown.add_row(one.model, str(row.batch), sent, *times, *held)
    harness.report(console, shown, [], {"models": [asdict(one) for one in found]}, chosen.json)


if __name__ == "__main__":
    main()
