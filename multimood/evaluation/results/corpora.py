"""A section for each corpus: every task, every mask, beside the majority. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from multimood.evaluation.result import FOLD
from multimood.evaluation.results.forms import Measured, Rating, Score
from multimood.evaluation.results.markdown import NAMES, figure, percent, span, table
from multimood.evaluation.results.shipped import Shipped


def sections(measured: Mapping[str, Measured], known: Sequence[str], shipped: Shipped) -> Iterator[str]:
    """Those that were measured, then the names of the others that are `known`."""
    for name in sorted(measured):
        yield f"### {name}, part `{measured[name].split}`"
        yield from section(measured[name], shipped)
    missing = ", ".join(f"`{name}`" for name in known if name not in measured)
    if missing:
        yield f"Not measured yet: {missing}."


def section(found: Measured, shipped: Shipped) -> Iterator[str]:
    """Tables, then what the reader of the figures must know."""
    rows = [
        (task, mask, score)
        for task, by_mask in found.tasks.items()
        if not FOLD.search(task)
        for mask, score in by_mask.items()
    ]
    if rows:
        yield scores(rows)
    ratings = [(task, mask, rating) for task, masks in found.ratings.items() for mask, rating in masks.items()]
    if ratings:
        yield numbers(ratings)
    if found.replies:
        yield "Replies: " + ", ".join(f"{name} {figure(value)}" for name, value in found.replies.items()) + "."
    yield "\n".join(f"- {line}" for line in remarks(found, rows, shipped))


def scores(rows: Sequence[tuple[str, str, Score]]) -> str:
    """Each figure with its interval, the majority's beside them."""
    has_bias = any(score.preference_bias is not None for _, _, score in rows)
    heads = ["task", "mask", ">n", *(f">{name}" for name in NAMES.values())]
    heads += [f">majority: {name}" for name in NAMES.values()] + [">ECE"] + [">bias"] * has_bias
    return table(heads, (_score(*row, has_bias=has_bias) for row in rows))


def _score(task: str, mask: str, score: Score, *, has_bias: bool) -> list[str]:
    own = [
        percent(score.of(name)) + (f" ({span(interval)})" if (interval := score.interval_of(name)) else "")
        for name in NAMES
    ]
    usual = [percent(score.majority.of(name)) for name in NAMES]
    bias = ["-" if score.preference_bias is None else f"{score.preference_bias:.2f}"] * has_bias
    return [f"`{task}`", mask, str(score.n), *own, *usual, percent(score.ece), *bias]


def numbers(rows: Sequence[tuple[str, str, Rating]]) -> str:
    """Numbers beside always saying the mean."""
    heads = ("number", "mask", ">n", ">mean absolute error", ">of always the mean", ">Spearman")
    return table(
        heads,
        (
            (f"`{task}`", mask, str(one.n), *(f"{value:.3f}" for value in (one.mae, one.mean.mae, one.spearman)))
            for task, mask, one in rows
        ),
    )


def remarks(found: Measured, rows: Sequence[tuple[str, str, Score]], shipped: Shipped) -> Iterator[str]:
    """Notes, what was left out, what answered, on which data."""
    yield from dict.fromkeys(score.note for _, _, score in rows if score.note)
    if found.note:
        yield f"Protocol: {found.note}"
    if found.notes:
        yield "Left out or missing: " + ", ".join(f"{what} {count}" for what, count in found.notes.items()) + "."
    named = (shipped.named(name, answered.sha256) for name, answered in found.models.items())
    yield f"Answered by {', '.join(named) or 'nothing'}; data `{found.data_sha256[:12]}`."
