"""Model cards: what a model is, what it was trained on, how well it did and beside which baseline."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_card(path: Path, title: str, about: str, metrics: Mapping[str, Any]) -> None:
    """Write a Markdown card; nested mappings become tables, floats get three digits."""
    lines = [f"# {title}", "", about.strip(), "", "## Measured on the validation part", ""]
    plain = {name: value for name, value in metrics.items() if not isinstance(value, Mapping)}
    for heading, table in ({"": plain} | {name: value for name, value in metrics.items() if name not in plain}).items():
        lines += [*([f"### {heading.capitalize()}", ""] if heading else []), "| | |", "|---|---|"]
        lines += [f"| {name} | {_shown(value)} |" for name, value in table.items()]
        lines.append("")
    path.write_text("\n".join(lines), encoding="utf-8")


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(item)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return " / ".join(map(_shown, value))
    return str(value)
