"""What a panel of judges said, for people."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multimood.trust.agreement import Correlation
    from multimood.trust.panel import Panel, Rater
    from multimood.trust.spending import Spending


def show(panel: "Panel", raters: "Sequence[Rater]", console: Console) -> None:
    """Print scores and agreement by criterion, then what each judge is biased by and has cost."""
    console.print(_scores(panel))
    console.print(_agreement(panel))
    if panel.similarity:
        known = {part: given[given == given] for part, given in panel.similarity.items()}  # noqa: PLR0124 - as below
        means = ", ".join(f"{part} {given.mean():.2f}" for part, given in known.items())
        console.print(f"similarity to {len(known['total'])} references: {means}")
    for rater in raters:
        if failures := panel.failures[rater.name]:
            counts = ", ".join(f"{code} {count}" for code, count in failures.items())
            console.print(f"{rater.name}: not available for {counts}; the first: {panel.reasons[rater.name]}")
        if checked := panel.position.get(rater.name):
            console.print(
                f"position, {rater.name}: of {checked.pairs} pairs {_number(checked.turned)} turned with the order, "
                f"{_number(checked.first)} of the verdicts for the first (0.5: none favoured)"
            )
        elif rater.pairs is not None:
            console.print(f"position, {rater.name}: not checked, there are no two replies to one dialogue")
        if own := panel.self_preference.get(rater.name):
            console.print(
                f"self-preference, {rater.name}: {own.own} own replies, {own.others} others, gap {_number(own.gap)}; "
                f"by the other judges {_number(own.gap_of_others)}"
            )
        if rater.spending:
            console.print(f"spent, {rater.name}: {_spent(rater.spending)}")


def _spent(spending: "Sequence[Spending]") -> str:
    asked, kept, uncounted = (sum(getattr(one, name) for one in spending) for name in ("asked", "kept", "uncounted"))
    said = [f"{asked} answers", f"{kept} kept from before"]
    said.append(f"{sum(one.prompt_tokens + one.completion_tokens for one in spending)} tokens")
    if uncounted:
        said.append(f"of {uncounted} answers the endpoint told no tokens")
    if cost := sum(one.cost for one in spending):
        said.append(f"cost {cost:.4f}")
    return ", ".join(said)


def _scores(panel: "Panel") -> Table:
    table = Table(title=f"{len(panel.ids)} replies", title_justify="left", box=None, pad_edge=False)
    for name in ("judge", "criterion"):
        table.add_column(name)
    for name in ("scored", "mean", "sd", "Spearman with length", "p"):
        table.add_column(name, justify="right")
    for rater, scores in panel.scores.items():
        for criterion, given in scores.items():
            known = given[given == given]  # noqa: PLR0124 - NaN is not itself
            found = panel.length[rater][criterion]
            table.add_row(
                rater, criterion, str(len(known)), f"{known.mean():.2f}", f"{known.std():.2f}", *_correlated(found)
            )
    return table


def _agreement(panel: "Panel") -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("criterion", "judges", "replies", "Krippendorff's alpha", "95 %", "Spearman, pairs of judges"):
        table.add_column(name)
    for criterion, found in panel.agreement.items():
        ends = "-" if found.interval is None else f"{found.interval[0]:.2f}..{found.interval[1]:.2f}"
        pairs = ", ".join(f"{names} {_number(one.spearman)}" for names, one in found.pairs.items())
        table.add_row(criterion, str(found.judges), str(found.replies), _number(found.alpha), ends, pairs or "-")
    return table


def _correlated(found: "Correlation") -> tuple[str, str]:
    return _number(found.spearman), "-" if found.p is None else f"{found.p:.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
