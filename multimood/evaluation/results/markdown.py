"""Markdown tables and figures."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from multimood.evaluation.results.forms import Interval, Metric

NAMES: Final[Mapping[Metric, str]] = {
    "accuracy": "accuracy",
    "weighted_f1": "weighted F1",
    "macro_f1": "macro F1",
    "uar": "UAR",
}


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; heads that begin with ">" stand over numbers."""
    lines = [
        _line(head.removeprefix(">") for head in heads),
        _line("---:" if head.startswith(">") else "---" for head in heads),
    ]
    return "\n".join(lines + [_line(row) for row in rows])


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def percent(share: float | None) -> str:
    """In percent; "-" for none."""
    return "-" if share is None else f"{100 * share:.1f}"


def span(interval: Interval | None) -> str:
    """From and to, in percent."""
    return "-" if interval is None else f"{100 * interval[0]:.1f}..{100 * interval[1]:.1f}"


def figure(value: object) -> str:
    """Any value of a program's file."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
