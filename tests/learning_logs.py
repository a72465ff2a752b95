"""Simulated logs for tests of learning: rows with their state, and the world that they come from."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from multimood.experience.schema import SCHEMA, Row
from multimood.experience.table import encode
from multimood.learning.logged import Logged, Wanted, load
from multimood.learning.sampling import Part
from multimood.simulator import World, converse, logging_world, rows


def world_of(led: str = "hasty") -> World:
    return World("mesc", 8, *logging_world()[led])


def rows_of(found: list[Row]) -> Callable[[Collection[str]], Iterator[Row]]:
    return lambda _columns: iter(found)


def simulated(conversations: int = 150, seed: int = 0, led: str = "hasty") -> list[Row]:
    return list(rows(converse(world_of(led), conversations, np.random.default_rng(seed)), f"s{seed}"))


def part_of(found: list[Row], part: Part, **wanted: Any) -> Logged:
    return load(rows_of(found), Wanted(**wanted), part)


def written(found: list[Row], folder: Path) -> Path:
    """A log of one file."""
    folder.mkdir()
    plain = [{name: row.get(name) for name in SCHEMA.names} for row in found]
    (folder / "rows.parquet").write_bytes(encode(plain, SCHEMA))
    return folder
