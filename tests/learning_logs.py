"""Simulated logs for tests of learning: rows with their state, and the world that they come from."""

from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from multimood.experience.schema import Row
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
