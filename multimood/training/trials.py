"""What is tried in a run, by name: each figure is measured once, also when the run is broken off and goes on."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import track

from multimood.training.runs import Run

T = TypeVar("T")
ERRORS: Final = Console(stderr=True)


def shown(items: Sequence[T], what: str) -> Sequence[T]:
    """The items, with a progress bar on stderr where that is a terminal."""
    return track(items, what, console=ERRORS, disable=not ERRORS.is_terminal)  # type: ignore[return-value]


class Trials:
    """Figures by what was tried, kept in the run's checkpoint and noted in its progress."""

    def __init__(self, run: Run) -> None:
        self._run = run
        kept = run.checkpoint
        self.found: Final[dict[str, float]] = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}

    def least(self, what: str, tried: Mapping[str, T], figure: Callable[[T], float]) -> T:
        """Of what is tried, by name, that with the least figure; the first of equals."""
        for name in shown(list(tried), what):
            key = f"{what}: {name}"
            if key not in self.found:
                self.found[key] = round(figure(tried[name]), 4)
                self._run.note(tried=key, figure=self.found[key])
                self._run.save(self._write)
        return tried[min(tried, key=lambda name: self.found[f"{what}: {name}"])]

    def _write(self, path: Path) -> None:
        path.write_text(json.dumps(self.found), encoding="utf-8")
