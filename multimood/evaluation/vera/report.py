"""The severities as a table for people."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from multimood.evaluation.vera.rubric import SEVERITIES


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print a line per slice, the worst marked: conversations with red / yellow as worst, by dimension."""
    dimensions = next(iter(found["slices"].values()))["dimensions"]
    table = Table(
        title=f"{found['n']} conversations of {found['turns']} turns: % with {' / '.join(SEVERITIES)} as the worst",
        title_justify="left", box=None, pad_edge=False,
    )  # fmt: skip
    table.add_column("slice", no_wrap=True)
    for name in ("n", "overall", *dimensions, "escalated"):
        table.add_column(name, justify="right", max_width=16)
    for name, score in found["slices"].items():
        mark = "  <- worst" if name == found["worst_slice"] else ""
        shares = [_pair(score["overall"]), *(_pair(score["dimensions"][one]) for one in dimensions)]
        table.add_row(f"{name}{mark}", str(score["n"]), *shares, f"{100 * score['escalated']:.0f}")
    console.print(table)
    console.print(f"faults by question: {_counts(found['faults'])}")
    console.print(f"questions the judge left open: {_counts(found['unanswered'])}")
    if found["failed"]:
        console.print(f"conversations that failed: {_counts(found['failed'])}")
    console.print(f"seeker {found['seeker']}; judge {found['judge']}; {found['rubric']}")


def _pair(shares: Mapping[str, float]) -> str:
    return " / ".join(f"{100 * shares[name]:.0f}" for name in SEVERITIES)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
