"""Finished trainings into the folder of runs, without their checkpoints."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from multimood.errors import NotFoundError
from multimood.evaluation.results.reading import PARTS


@dataclass(frozen=True, slots=True)
class Taken:
    """Names of the trainings that were taken, and of those that have not ended."""

    finished: Sequence[str]
    running: Sequence[str]


def take(source: Path, target: Path) -> Taken:
    """Copy config, environment and metrics of every finished training below `source` to the same name below `target`.

    Raises:
        NotFoundError: there is no training below `source`.
    """
    found = sorted(path.parent for path in source.glob("*/config.json"))
    if not found:
        raise NotFoundError(f"--take {source} holds no training (<model>/config.json): name the folder above them")
    finished = [folder for folder in found if all((folder / f"{part}.json").is_file() for part in PARTS)]
    for folder in finished:
        (target / folder.name).mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            shutil.copyfile(folder / f"{part}.json", target / folder.name / f"{part}.json")
    return Taken([one.name for one in finished], [one.name for one in found if one not in finished])
