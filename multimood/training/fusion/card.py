"""The model card: what it is, what it learned from what, how right it is, beside what knows nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

from multimood import assets
from multimood.training.fusion.metrics import Rated, Row

TEMPLATE: Final = "fusion_card.md"
_HEADS: Final = ("what", "from", "corpus", "n", "accuracy", "macro F1", "weighted F1",
                 "majority: accuracy", "macro F1", "weighted F1")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Card:
    """What there is to say of a trained model: scores of the graph, of the rule of combining on pairs, the choices."""

    digest: str
    seed: int
    rows: Sequence[Row]
    pairs: Sequence[Row]
    rated: Rated
    choices: Mapping[str, float]


def write_card(path: Path, card: Card) -> None:
    """Write the card beside the model."""
    rated = card.rated
    text = Template(files(assets).joinpath(TEMPLATE).read_text(encoding="utf-8")).substitute(
        digest=card.digest,
        seed=card.seed,
        scores=_table(card.rows),
        intensity=f"Intensity from text (ESConv, n {rated.n}): mean absolute error {rated.error:.3f}, always saying "
        f"the mean {rated.error_of_mean:.3f}; rank correlation {rated.correlation:.3f}. The scale is 0 to 1.",
        pairs=_table(card.pairs),
        choices="\n".join(
            ("| | |", "|---|---|", *(f"| {name} | {value:.4g} |" for name, value in card.choices.items()))
        ),
    )
    path.write_text(text, encoding="utf-8")


def _table(rows: Sequence[Row]) -> str:
    lines = [_HEADS, ("---",) * len(_HEADS)]
    for row in rows:
        s = row.score
        own = (s.accuracy, s.macro_f1, s.weighted_f1)
        others = (s.majority_accuracy, s.majority_macro_f1, s.majority_weighted_f1)
        numbers = (f"{value:.3f}" for value in (*own, *others))
        lines.append((row.what, row.modalities, row.corpus, str(s.n), *numbers))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
