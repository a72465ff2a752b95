"""Confusion matrix and reliability curve of every task's `full` row, as one picture."""

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np

from multimood.errors import ConfigurationError
from multimood.evaluation.result import FULL, Result

mpl.use("Agg")
from matplotlib import pyplot as plt

WIDTH: Final = 11.0
HEIGHT: Final = 4.6
"""Inches of the picture, and of each task in it."""
DARK: Final = 0.5


def draw(result: Result, path: Path) -> None:
    """Write a PNG (or whatever the ending says).

    Raises:
        ConfigurationError: no task has predictions, or the ending is no format that can be written.
    """
    shown = {name: by_mask[FULL] for name, by_mask in result.tasks.items() if "confusion" in by_mask.get(FULL, {})}
    if not shown:
        raise ConfigurationError(f"--picture {path}: {result.corpus} has no predictions to draw; leave it out")
    figure, axes = plt.subplots(
        len(shown), 2, figsize=(WIDTH, HEIGHT * len(shown)), squeeze=False, layout="constrained"
    )
    figure.suptitle(f"{result.corpus}, {result.split}")
    for (name, score), (left, right) in zip(shown.items(), axes, strict=True):
        _confusion(left, name, score)
        _reliability(right, score)
    try:
        figure.savefig(path, dpi=100)
    except ValueError as error:
        raise ConfigurationError(f"--picture {path}: {error}; use a name that ends with .png") from None
    finally:
        plt.close(figure)


def _confusion(axis: Any, name: str, score: dict[str, Any]) -> None:
    counts, labels = np.array(score["confusion"]), score["labels"]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for row, column in np.ndindex(counts.shape):
        if counts[row, column]:
            ink = "white" if shares[row, column] > DARK else "black"
            axis.text(column, row, counts[row, column], ha="center", va="center", fontsize=6, color=ink)
    axis.set_xticks(range(len(labels)), [label[:18] for label in labels], rotation=45, ha="right", fontsize=7)
    axis.set_yticks(range(len(labels)), [label[:18] for label in labels], fontsize=7)
    axis.set(xlabel="predicted", ylabel="true", title=f"{name} (n {score['n']})")


def _reliability(axis: Any, score: dict[str, Any]) -> None:
    weight, sure, right = map(np.array, score["reliability"])
    some = weight > 0
    axis.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--")
    axis.plot(sure[some], right[some], marker="o")
    axis.bar((np.arange(len(weight)) + 0.5) / len(weight), weight, width=1 / len(weight), alpha=0.2, color="grey")
    axis.set(
        xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy (bars: share of rows)",
        title=f"expected calibration error {score['ece']:.3f}",
    )  # fmt: skip
