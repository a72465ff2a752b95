"""Results as a table for people and as JSON for programs."""

import json
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from multimood.evaluation.result import Result


def to_json(result: Result) -> str:
    """The whole result."""
    return json.dumps(asdict(result), indent=1, allow_nan=False)


def show(result: Result, console: Console) -> None:
    """A line per task and mask, each beside the majority, then what was left out and which models answered."""
    console.print(_tasks(result))
    if result.ratings:
        console.print(_ratings(result))
    for task, by_mask in result.tasks.items():
        for mask, score in by_mask.items():
            if interval := score.get("auc_interval"):
                ends = f"{interval[0]:.3f}..{interval[1]:.3f}"
                console.print(f"{task}, {mask}: area under the ROC curve {score['auc']:.3f} ({ends}), chance 0.5")
    if result.replies:
        figures = ", ".join(f"{name} {_shown(value)}" for name, value in result.replies.items())
        console.print(f"replies: {figures}")
    for note in dict.fromkeys(
        score["note"] for masks in result.tasks.values() for score in masks.values() if "note" in score
    ):
        console.print(f"note: {note}")
    if result.note:
        console.print(f"protocol: {result.note}")
    for what, count in result.notes.items():
        console.print(f"left out or missing: {what}: {count}")
    models = ", ".join(
        f"{name}:{about['version']}@{(about['sha256'] or '?')[:12]}" for name, about in result.models.items()
    )
    console.print(f"models: {models or 'none'}; data {result.data_sha256[:12]}; {result.seconds:g} s")


def _tasks(result: Result) -> Table:
    table = Table(title=f"{result.corpus}, {result.split}", title_justify="left", box=None, pad_edge=False)
    table.add_column("task")
    table.add_column("mask")
    for name in ("n", "acc", "wF1", "mF1", "95 %", "UAR", "ECE", "bias", "majority acc", "wF1", "mF1", "UAR"):
        table.add_column(name, justify="right")
    for task, by_mask in result.tasks.items():
        for mask, score in by_mask.items():
            own = [_percent(score.get(name)) for name in ("accuracy", "weighted_f1", "macro_f1")]
            interval = score.get("interval")
            usual = [_percent(score["majority"][name]) for name in ("accuracy", "weighted_f1", "macro_f1", "uar")]
            table.add_row(
                task, mask, str(score["n"]), *own,
                "-" if interval is None else f"{100 * interval[0]:.1f}..{100 * interval[1]:.1f}",
                _percent(score.get("uar")), _percent(score.get("ece")),
                f"{score['preference_bias']:.2f}" if "preference_bias" in score else "",
                *usual,
            )  # fmt: skip
    return table


def _ratings(result: Result) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("number", "mask", "n", "mean abs. error", "of the mean", "Spearman"):
        table.add_column(name, justify="left" if name in {"number", "mask"} else "right")
    for task, by_mask in result.ratings.items():
        for mask, score in by_mask.items():
            figures = (f"{value:.3f}" for value in (score["mae"], score["mean"]["mae"], score["spearman"]))
            table.add_row(task, mask, str(score["n"]), *figures)
    return table


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _shown(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
