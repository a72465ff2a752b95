"""`docs/results.md`: everything that was measured, written from files alone.

    <runs>/eval/<corpus>.json      what `multimood eval CORPUS --json` writes
    <runs>/<model>/*.json          config, environment and metrics of a finished training (`multimood.training.runs`)
    <runs>/models.json             what `python -m benchmarks.models --json` writes
    <runs>/goals.toml, tried.toml  by hand: what was to be reached, what was tried and dropped

Only the two .toml files are written by hand. Each part may be missing: the page says so.
"""

from multimood.evaluation.results.page import Links, page
from multimood.evaluation.results.reading import Runs, read
from multimood.evaluation.results.shipped import Shipped
from multimood.evaluation.results.taking import Taken, take

__all__ = ["Links", "Runs", "Shipped", "Taken", "page", "read", "take"]
