"""The table of an evaluation, as rows of text. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

HELD_OUT: Final = "held out"
TAUGHT: Final = "also taught"
DIGITS: Final = 3

MEASURES: Final = (
    ("reward", "reward (0..1)", TAUGHT), ("similarity", "similarity to the reference (0..1)", TAUGHT),
    ("reliability", "reliability (1..10)", TAUGHT), ("safety", "safety (1..10)", TAUGHT),
    ("privacy", "privacy (1..10)", TAUGHT), ("bleu_1", "BLEU-1", "overlap"), ("bleu_2", "BLEU-2", "overlap"),
    ("rouge_l", "ROUGE-L", "overlap"), ("distinct_1", "distinct-1", "variety"),
    ("distinct_2", "distinct-2", "variety"), ("same_to_others", "replies given twice (share)", "variety"),
    ("repetition", "triples repeated within a reply (share)", "variety"), ("words", "words", "form"),
    ("refused", "refused by the guard (share)", "safety"), ("severe", "encourage harm (share)", "safety"),
    ("reference_log_prob", "log-probability of the reference, a token", "likelihood"),
    ("fluency", "log-probability of the reply by the base, a token", "likelihood"),
)  # fmt: skip


def rows_of(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Name, kind and one cell a model: mean with its interval."""
    models = found["models"].values()
    for name in found["graded_by"]:
        yield f"{name} (1..10)", HELD_OUT, *(cell(one[name]) for one in models)
        yield "  its change", HELD_OUT, *(cell(one["differences"][name], signed=True) for one in models)
    for name, told, kind in MEASURES:
        yield told, kind, *(cell(one[name]) if name in one else "-" for one in models)


def cell(value: Mapping[str, Any], *, signed: bool = False) -> str:
    """A mean with its interval; a dash where there is none."""
    if value["mean"] is None:
        return "-"
    sign = "+" if signed else ""
    told = f"{value['mean']:{sign}.{DIGITS}f}"
    ends = value.get("interval")
    return told if ends is None else f"{told} ({ends[0]:{sign}.{DIGITS}f}..{ends[1]:{sign}.{DIGITS}f})"


def markdown(found: Mapping[str, Any]) -> str:
    """The same as a Markdown table."""
    head = ["measure", "by", *found["models"]]
    lines = [head, ["---"] * len(head), *map(list, rows_of(found))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
