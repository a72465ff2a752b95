"""The model card: what it is, what it learned from what, how right it is, beside what knows nothing."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, Final

from multimood import assets
from multimood.training.fusion.shape import Shape

TEMPLATE: Final = "fusion_card.md"
_HEADS: Final = ("what", "corpus", "n", "accuracy", "weighted F1", "macro F1", "majority: accuracy", "weighted F1")


def write_card(path: Path, metrics: Mapping[str, Any], seed: int) -> None:
    """Write the card beside the model, from what `run.train` found."""
    rated = metrics["intensity esconv"]
    text = Template(files(assets).joinpath(TEMPLATE).read_text(encoding="utf-8")).substitute(
        digest=metrics["sha256"],
        seed=seed,
        members=Shape().members,
        voice=metrics["voice"],
        face=metrics["face"],
        scores=_table(
            {name: value for name, value in metrics.items() if isinstance(value, Mapping) and "accuracy" in value}
        ),
        intensity=f"Intensity (ESConv, n {rated['n']}): mean absolute error {rated['error']:.3f}, always saying the "
        f"mean {rated['error_of_mean']:.3f}. The scale is 0 to 1.",
        temperatures=", ".join(f"{name} {value:.2f}" for name, value in metrics["temperatures"].items()),
    )
    path.write_text(text, encoding="utf-8")


def _table(scores: Mapping[str, Mapping[str, float]]) -> str:
    lines = [_HEADS, ("---",) * len(_HEADS)]
    for name, score in scores.items():
        what, _, corpus = name.partition(" ")
        kinds = ("accuracy", "weighted_f1", "macro_f1", "majority", "majority_weighted_f1")
        lines.append((what, corpus, str(score["n"]), *(f"{score[kind]:.3f}" for kind in kinds)))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
