"""What was trained on what, and how fast and large the models are on the server. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from multimood.evaluation.results.forms import Served, Trained
from multimood.evaluation.results.markdown import figure, table
from multimood.evaluation.results.shipped import Shipped

MOST_VALUES: Final = 8
"""Longer lists (curves, confusion) stay in the run's own file."""


def shipped_table(shipped: Shipped, checkout: str) -> str:
    """Every model that ships: made from what, under which licence; `checkout` leads there from the page."""
    rows = (
        (model.name, model.about, model.source, model.licence, f"[card]({checkout}/{model.card})")
        for model in shipped.models.values()
    )
    return table(("model", "gives", "made from", "licence", "data and limits"), rows)


def trainings(trained: Mapping[str, Trained]) -> Iterator[str]:
    """A section for each training whose run was taken."""
    for name, run in sorted(trained.items()):
        ran = run.environment
        packages = ", ".join(f"{package} {version}" for package, version in sorted(ran.packages.items()))
        asked = ", ".join(f"{key} {figure(value)}" for key, value in sorted(run.config.items()) if _is_short(value))
        yield f"### Training: {name}"
        yield (
            f"Asked for: {asked or 'nothing'}. Took {ran.seconds / 60:.1f} min on {ran.processors} processors; "
            f"Python {ran.python}, {packages}."
        )
        plain = {key: value for key, value in run.metrics.items() if _is_short(value)}
        if plain:
            yield ", ".join(f"{key}: {figure(value)}" for key, value in plain.items()) + "."
        nested = dict(_rows(run.metrics))
        if nested:
            heads = list(dict.fromkeys(key for row in nested.values() for key in row))
            rows = ([key, *(figure(row.get(head, "")) for head in heads)] for key, row in nested.items())
            yield table(["measured", *(f">{head}" for head in heads)], rows)


def _rows(metrics: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping in the metrics with what it holds itself, named by the way there."""
    for key, value in metrics.items():
        if not isinstance(value, Mapping):
            continue
        name = f"{above}, {key}" if above else key
        own = {inner: one for inner, one in value.items() if _is_short(one)}
        if own:
            yield name, own
        yield from _rows(value, name)


def _is_short(value: Any) -> bool:
    return not isinstance(value, Mapping) and not (isinstance(value, list) and len(value) > MOST_VALUES)


def timings(served: Served, shipped: Shipped) -> Iterator[str]:
    """Latency, throughput and memory of each model and batch size."""
    about = served.machine
    yield (
        f"One instance of each through Triton, {about.date}; {about.cores} cores ({about.cpu}), {about.memory_gib} GB, "
        f"load {about.load_before:.1f} when it ended. A batch is so many utterances, sent at once; where a model takes "
        "fewer rows at a time, in several requests. Milliseconds until the last answer. Memory is the server's and the "
        "model's process together: without any model, with it, and at most."
    )
    rows = (
        (
            one.model, str(row.batch), f"{row.requests} of {row.rows}", f"{row.p50_ms:,.1f}", f"{row.p95_ms:,.1f}",
            f"{row.per_s:,.1f}", *(f"{value:.0f}" for value in (one.before_mb, one.loaded_mb, row.peak_mb)),
        )
        for one in served.models
        for row in one.batches
    )  # fmt: skip
    yield table(
        ("model", ">batch", ">requests of rows", ">p50 ms", ">p95 ms", ">utterances a second", ">MB without",
         ">MB loaded", ">MB at most"),
        rows,
    )  # fmt: skip
    yield "\n".join(
        f"- {shipped.named(one.model, one.sha256)}: at most {one.max_batch_size} rows a request; an utterance is "
        f"{one.rows_each} of {_shapes(one.inputs)}"
        for one in served.models
    )


def _shapes(inputs: Mapping[str, list[int]]) -> str:
    return ", ".join(f"{name} {' by '.join(map(str, shape))}" for name, shape in inputs.items())
