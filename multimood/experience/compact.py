"""Compaction: the many small objects of a day into few large ones, while others read.

A day is compacted in two steps that may be broken off anywhere and are simply done again:

1. What lies in small objects is written as large ones. From here on each of these rows lies in two places, and the
   reader gives it once.
2. A small object is taken away when every row of it lies, just so, in the large ones.

So no row is ever only in memory, and a row that was written late into a small object keeps that object alive until the
next compaction. Step 2 has a hole of milliseconds: a writer that adds a row between the look and the removal. Therefore
only days are compacted that no record on Kafka belongs to any more, which the reward service can then not write into.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from multimood import topics
from multimood.experience.naming import day_of, is_feedback, version_of
from multimood.experience.reader import Advance
from multimood.experience.schema import VERSION
from multimood.experience.sources import Found, Place
from multimood.experience.table import EXPERIENCE_TABLE, FEEDBACK_TABLE, Table, contains, joined, read_rows

LARGE: Final = "rows-"
"""How the names of large objects begin."""
BYTES: Final = 64 << 20
"""Of small objects that make a large one; in memory they take some ten times as much."""
AFTER_DAYS: Final = 1 + max(
    topic.retention_ms // topics.DAY_MS for topic in (topics.DECISION, topics.REPLY, topics.FEEDBACK)
)
"""Days after which nothing of a day is on Kafka any more, with one to spare."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """What was done."""

    days: int = 0
    small: int = 0
    """Objects that were taken away."""
    large: int = 0
    """Objects that were written."""
    kept: int = 0
    """Small objects that had to stay."""

    def __add__(self, other: "Compacted") -> "Compacted":
        return Compacted(
            self.days + other.days, self.small + other.small, self.large + other.large, self.kept + other.kept
        )


def compact(
    place: Place, *, today: date | None = None, after_days: int = AFTER_DAYS, advance: Advance | None = None
) -> Compacted:
    """Compact every day that is at least `after_days` old; doing it again changes nothing.

    Fewer days than the default are for a log that no reward service writes to. Memory: some ten times `BYTES`. Raises
    ValueError (less than a day), DamagedObjectError, and what the place raises.
    """
    if after_days < 1:
        raise ValueError(f"the present day cannot be compacted: {after_days} days must be at least 1")
    last = (today or datetime.now(UTC).date()) - timedelta(days=after_days)
    done = Compacted()
    tasks = list(_days(place.objects(), last).items())
    for number, ((folder, _), found) in enumerate(tasks, 1):
        done += _day(place, folder, found)
        if advance is not None:
            advance(number, len(tasks))
    return done


def _days(objects: Sequence[Found], last: date) -> Mapping[tuple[str, bool], list[Found]]:
    """The objects of this version's days up to `last`, by their folder. An older version's files stay as they are."""
    days: dict[tuple[str, bool], list[Found]] = {}
    for found in objects:
        day = day_of(found.name)
        if day is not None and day <= last and version_of(found.name) == VERSION:
            folder = found.name.rpartition("/")[0]
            days.setdefault((folder, is_feedback(found.name)), []).append(found)
    return days


def _day(place: Place, folder: str, objects: Sequence[Found]) -> Compacted:
    table = FEEDBACK_TABLE if is_feedback(objects[0].name) else EXPERIENCE_TABLE
    small = [found for found in objects if not _is_large(found.name)]
    large = [found.name for found in objects if _is_large(found.name)]
    removed, written = 0, 0
    for group in _groups(small):
        # What an earlier compaction left behind when it was broken off goes first, so that it is not written twice.
        gone = _remove(place, group, large, table)
        removed += len(gone)
        rest = [found for found in group if found.name not in gone]
        if not rest:
            continue
        data = joined([place.read(found.name) for found in rest], table)
        name = f"{folder}/{LARGE}{hashlib.sha256(data).hexdigest()[:16]}.parquet"
        place.write(name, data)
        written += 1
        removed += len(_remove(place, rest, [name], table))
    return Compacted(bool(small), removed, written, len(small) - removed)


def _remove(place: Place, small: Sequence[Found], large: Sequence[str], table: Table) -> set[str]:
    """Take away the small objects whose every row is in the large ones; gives their names."""
    if not large:
        return set()
    rows = {found.name: read_rows(place.read(found.name)) for found in small}
    known: set[str] = set()
    for name in large:
        whole = read_rows(place.read(name))
        for part in rows.values():
            known |= contains(whole, part, table)
    removed = {name for name, part in rows.items() if {row[table.key] for row in part} <= known}
    for name in removed:
        place.remove(name)
    return removed


def _groups(small: Sequence[Found]) -> Iterator[list[Found]]:
    """Neighbours, of about so many bytes together."""
    group, size = list[Found](), 0
    for found in small:
        group.append(found)
        size += found.size_bytes
        if size >= BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _is_large(name: str) -> bool:
    return name.rpartition("/")[2].startswith(LARGE)
