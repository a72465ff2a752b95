"""The figures of crisis detection for people."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from multimood.safety.verdict import LEVELS


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print a line per unit beside the majority, then per label, then what it cost."""
    console.print(_units(found))
    console.print(_levels(found))
    intervals = ", ".join(f"{name} {_range(ends)}" for name, ends in found["intervals"].items())
    console.print(f"the user's: {intervals} ({found['interval_of']}); AUC {_figure(found['auc'])}")
    curve = ", ".join(f"{point['recall']:.3f}/{point['precision']:.3f}" for point in found["curve"])
    console.print(f"other thresholds would have given recall/precision: {curve or '-'}")
    latency = found["latency_ms"]
    console.print(
        f"{found['messages']} messages, each screened and the person judged: "
        f"p50 {latency['p50']:.2f} ms, p99 {latency['p99']:.2f} ms"
    )
    for what, count in found["notes"].items():
        console.print(f"{what}: {count}")
    console.print(f"models: {found['version']}; data {found['data_sha256'][:12]}; {found['seconds']:.1f} s")


def _units(found: Mapping[str, Any]) -> Table:
    table = Table(
        title=f"ideation and above, {found['split']}, {found['n']} users",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("unit")
    for name in ("recall", "precision", "accuracy"):
        table.add_column(name, justify="right")
    all_flagged = {"recall": 1.0, "precision": found["majority"]["precision_of_flagging_all"]}
    for unit, row in (
        (found["unit"], found),
        ("any post of theirs alone", found["any_post"]),
        ("everybody flagged", {**all_flagged, "accuracy": all_flagged["precision"]}),
    ):
        table.add_row(unit, *(_figure(row[name]) for name in ("recall", "precision", "accuracy")))
    table.add_row("the majority's label", "", "", _figure(found["majority"]["accuracy"]))
    return table


def _levels(found: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("label", "n", "flagged", "by any post alone", *(f"judged {level}" for level in LEVELS)):
        table.add_column(name, justify="left" if name == "label" else "right")
    for name, level in found["per_level"].items():
        judged = (str(count) for count in found["confusion"][name].values())
        table.add_row(name, str(level["n"]), _figure(level["flagged"]), _figure(level["flagged_any_post"]), *judged)
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _range(ends: list[float] | None) -> str:
    return "-" if ends is None else f"{ends[0]:.3f}..{ends[1]:.3f}"
