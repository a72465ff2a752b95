"""Answers as a table for people and as an object for programs."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from multimood.ope.evaluate import Estimate
from multimood.ope.slicing import Part
from multimood.ope.support import Refusal


def table(parts: Sequence[Part], beside: str = "logged") -> Table:
    """A line for each answer; the reasons of refusals are for `refusals`. `beside` is whose value `logged` holds."""
    told = any(isinstance(part.answer, Estimate) and part.answer.truth is not None for part in parts)
    shown = Table(box=None, pad_edge=False)
    for name in ("slice", "estimator", "estimate", "95 %", *(["truth"] if told else []), beside):
        shown.add_column(name, justify="left" if name in {"slice", "estimator"} else "right")
    for name in ("95 %", "n", "conversations", "ESS", "largest weight"):
        shown.add_column(name, justify="right")
    for part in parts:
        support = part.answer.support
        truth = [_number(part.answer.truth if isinstance(part.answer, Estimate) else None)] if told else []
        shown.add_row(
            part.slice, part.answer.estimator, *_shown(part.answer), *truth, *_shown(part.logged),
            str(support.turns), str(support.conversations), f"{support.ess:.0f} ({support.ess_share:.0%})",
            f"{support.largest_weight:.1f}",
        )  # fmt: skip
    return shown


def refusals(parts: Sequence[Part]) -> list[str]:
    """A sentence for each refusal."""
    return [
        f"{part.slice}, {part.answer.estimator}: refused ({part.answer.reason}): {part.answer.message}"
        for part in parts
        if isinstance(part.answer, Refusal)
    ]


def as_json(parts: Sequence[Part], beside: str = "logged") -> list[dict[str, Any]]:
    """One object for each answer: value and interval, or the refusal, and the logged policy's beside it."""
    return [{"slice": part.slice, **_plain(part.answer), beside: _plain(part.logged)} for part in parts]


def _plain(answer: Estimate | Refusal) -> dict[str, Any]:
    fields = {"value": None, "low": None, "high": None, "truth": None, "refused": None, **asdict(answer)}
    for end in ("low", "high"):  # JSON has no infinity
        fields[end] = fields[end] if fields[end] is not None and math.isfinite(fields[end]) else None
    if isinstance(answer, Refusal):
        fields["refused"] = {"reason": fields.pop("reason"), "message": fields.pop("message")}
    return fields


def _shown(answer: Estimate | Refusal) -> tuple[str, str]:
    if isinstance(answer, Refusal):
        return "refused", answer.reason
    return _number(answer.value), f"{answer.low:.4f}..{answer.high:.4f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
