"""The folder of runs, read and checked."""

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from multimood.errors import ConfigurationError, NotFoundError
from multimood.evaluation.results.forms import Goal, Goals, Measured, Served, Trained, Trial, Tried

EVAL: Final = "eval"
MODELS: Final = "models.json"
GOALS: Final = "goals.toml"
TRIED: Final = "tried.toml"
PARTS: Final = ("config", "environment", "metrics")
BY_HAND: Final = "correct it"

Form = TypeVar("Form", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Runs:
    """All that is there; what is not is empty or None."""

    measured: Mapping[str, Measured]
    """By corpus."""
    trained: Mapping[str, Trained]
    """By model."""
    served: Served | None
    goals: tuple[Goal, ...]
    tried: tuple[Trial, ...]


def read(folder: Path) -> Runs:
    """Read the folder.

    Raises:
        NotFoundError: it is not there, or a training's folder lacks a file.
        ConfigurationError: a file in it is not what it should be; the message names it and the remedy.
    """
    if not folder.is_dir():
        raise NotFoundError(f"--runs {folder} is no folder: `make results DATA=folder` fills docs/runs")
    measured = {path.stem: _measured(path) for path in sorted((folder / EVAL).glob("*.json"))}
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and path.name != EVAL)
    models, goals, tried = folder / MODELS, folder / GOALS, folder / TRIED
    remedy = f"write it again: python -m benchmarks.models --json {models}"
    return Runs(
        measured,
        {path.name: _trained(path) for path in folders},
        _as(Served, models, _json(models, remedy), remedy) if models.is_file() else None,
        _as(Goals, goals, _toml(goals), BY_HAND).goal if goals.is_file() else (),
        _as(Tried, tried, _toml(tried), BY_HAND).tried if tried.is_file() else (),
    )


def _measured(path: Path) -> Measured:
    remedy = f"write it again: multimood eval {path.stem} --data ... --json {path}"
    found = _as(Measured, path, _json(path, remedy), remedy)
    if found.corpus != path.stem:
        raise ConfigurationError(f"{path} holds results of {found.corpus}: name it {found.corpus}.json")
    return found


def _trained(folder: Path) -> Trained:
    remedy = f"take it again: multimood results --take FOLDER, with {folder.name}/ of a finished training in it"
    missing = [f"{part}.json" for part in PARTS if not (folder / f"{part}.json").is_file()]
    if missing:
        raise NotFoundError(f"{folder} lacks {', '.join(missing)}: {remedy}")
    parts = {part: _json(folder / f"{part}.json", remedy) for part in PARTS}
    return _as(Trained, folder, parts, remedy)


def _json(path: Path, remedy: str) -> Any:
    return _parsed(path, json.loads, "JSON", remedy)


def _toml(path: Path) -> Any:
    return _parsed(path, tomllib.loads, "TOML", BY_HAND)


def _parsed(path: Path, parse: Callable[[str], Any], what: str, remedy: str) -> Any:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of UTF-8, too
        raise ConfigurationError(f"{path} is no {what} ({error}): {remedy}") from None


def _as(form: type[Form], path: Path, value: Any, remedy: str) -> Form:
    try:
        return form.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigurationError(f"{path}: {place + ': ' if place else ''}{first['msg']}; {remedy}") from None
