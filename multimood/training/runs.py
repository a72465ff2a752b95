"""A training run's folder: what was asked for, on what it ran, how far it is, what came out.

    <folder>/config.json        what was asked for
    <folder>/environment.json   versions, machine, seconds
    <folder>/progress.jsonl     a line for every look at the held part
    <folder>/metrics.json       the result; a run without it was broken off
    <folder>/checkpoint         to go on from; gone when the run ended

A run that was broken off goes on where it was if it is asked for the same once more; a finished one begins anew.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from multimood.errors import MultimoodError

PACKAGES: Final = ("numpy", "scipy", "scikit-learn", "torch", "onnxruntime", "tokenizers")


class RunError(MultimoodError):
    """A run's folder cannot be used as it is."""

    code = "run"


class Run:
    """One run. Open it, train, `finish`."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Open the folder of a run that is asked for `config`, to go on or to begin.

        Raises:
            RunError: a run that was asked for something else was broken off here.
        """
        self.folder: Final = folder
        self._begun = time.monotonic()
        self._before_s = 0.0
        known = folder / "config.json"
        wanted = json.loads(json.dumps(config))
        if self.checkpoint.exists() and known.is_file():
            if json.loads(known.read_text(encoding="utf-8")) != wanted:
                raise RunError(
                    f"{folder} holds a run that was asked for other things: finish it as it was, or delete it"
                )
            self._before_s = float(self._lines()[-1]["seconds"]) if self._lines() else 0.0
            return
        folder.mkdir(parents=True, exist_ok=True)
        for old in ("progress.jsonl", "metrics.json"):
            (folder / old).unlink(missing_ok=True)
        _write(known, wanted)

    @property
    def checkpoint(self) -> Path:
        """Where the state to go on from is; replaced as a whole."""
        return self.folder / "checkpoint"

    @property
    def seconds(self) -> float:
        """That this run has taken, with what it took before it was broken off."""
        return self._before_s + time.monotonic() - self._begun

    def save(self, write: Callable[[Path], None]) -> None:
        """Replace the checkpoint by what `write` writes."""
        partial = self.folder / "checkpoint.part"
        write(partial)
        partial.replace(self.checkpoint)

    def note(self, **values: Any) -> None:
        """Add a line to the run's progress."""
        with (self.folder / "progress.jsonl").open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"seconds": round(self.seconds, 1), **values}) + "\n")

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Write the result and what it was made on; the checkpoint is not needed any more."""
        _write(self.folder / "environment.json", environment() | {"seconds": round(self.seconds, 1)})
        _write(self.folder / "metrics.json", metrics)
        self.checkpoint.unlink(missing_ok=True)

    def _lines(self) -> list[dict[str, Any]]:
        path = self.folder / "progress.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def environment() -> dict[str, Any]:
    """Versions of what decides a result, and the machine's size."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"python": platform.python_version(), "packages": versions, "processors": len(os.sched_getaffinity(0))}


def digest(*parts: Path | str) -> str:
    """SHA-256 over files' bytes and strings: what a run depends on, short enough to write down."""
    found = hashlib.sha256()
    for part in parts:
        found.update(hashlib.sha256(part.read_bytes() if isinstance(part, Path) else part.encode()).digest())
    return found.hexdigest()[:16]


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
