"""Reading the log: every row once, one object in memory at a time.

Equal row ids in different objects are rare but possible: a decision and its much later reply, a reply published twice,
copies of an object. A first pass over the ids alone finds them; the rows concerned are merged and come last.
"""

import asyncio
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Protocol, Self

import numpy as np

from multimood.errors import NotFoundError
from multimood.experience.naming import EXPERIENCE, FEEDBACK, day_of
from multimood.experience.record import merge, us_of
from multimood.experience.schema import COLUMNS, Row
from multimood.experience.table import DamagedObjectError, batches
from multimood.settings import StoreSettings
from multimood.store import Store

LARGEST_OBJECT: Final = 1 << 30
MOST_OBJECTS: Final = 10_000_000
LISTING_S: Final = 300.0
_ID_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Found:
    """An object of the log."""

    name: str
    size_bytes: int


class Source(Protocol):
    """Where the log lies."""

    def objects(self) -> Sequence[Found]:
        """All objects whose names end in `.parquet`, in order of names."""

    def read(self, name: str) -> bytes:
        """The content of one."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The log in a folder: a copy of the bucket, or Parquet files that somebody made of it. One file works too."""

    path: Path

    def objects(self) -> Sequence[Found]:
        """List the files. Raises NotFoundError when there is no such folder."""
        if not self.path.exists():
            raise NotFoundError(f"{self.path} does not exist: give a folder with Parquet files, or one file")
        files = [self.path] if self.path.is_file() else self.path.rglob("*.parquet")
        return sorted((Found(str(file), file.stat().st_size) for file in files), key=lambda found: found.name)

    def read(self, name: str) -> bytes:
        """Read a file."""
        return Path(name).read_bytes()


class Bucket(AbstractContextManager["Bucket"]):
    """The log in the experience bucket of an S3 store. Not to be used inside a running event loop."""

    def __init__(self, settings: StoreSettings) -> None:
        self._bucket = settings.experience_bucket
        self._runner = asyncio.Runner()
        self._store = Store(settings, deadline_s=LISTING_S)

    def objects(self) -> Sequence[Found]:
        """List the objects. Raises MissingObjectError (no such bucket), StoreUnavailableError."""
        prefixes = (EXPERIENCE, FEEDBACK)
        listed = [self._runner.run(self._store.list(self._bucket, prefix, most=MOST_OBJECTS)) for prefix in prefixes]
        return [Found(i.key, i.size_bytes) for items in listed for i in items if i.key.endswith(".parquet")]

    def read(self, name: str) -> bytes:
        """Read an object. Raises MissingObjectError, StoreUnavailableError."""
        return self._runner.run(self._store.read(self._bucket, name, limit=LARGEST_OBJECT))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._store.close())
        self._runner.close()


def rows(source: Source, *, days: tuple[date, date] | None = None, feedback: bool = False) -> Iterator[Row]:
    """Iterate over the log's rows: each row id once, all columns there, null where a file lacks one.

    `days`: the first and the last day (UTC) to read; files that no day can be told of are always read. `feedback`: give
    every row a further column `feedback`, the list of what was said about its utterance later, oldest first.

    Memory: one object, 8 bytes for every row, and with `feedback` all of the feedback. Raises DamagedObjectError, and
    what the source raises.
    """
    listed = source.objects()
    names = [found.name for found in listed if not is_feedback(found.name) and _within(found.name, days)]
    given = _feedback(source, [found.name for found in listed if is_feedback(found.name)]) if feedback else None
    repeated = _repeated(source, names)
    held: dict[str, Row] = {}
    for name in names:
        for row in _rows_of(source, name):
            if _short(row["row_id"]) not in repeated:
                yield _complete(row, given)
            else:
                other = held.get(row["row_id"])
                held[row["row_id"]] = row if other is None else merge(*sorted((other, row), key=_rank))
    for row in held.values():
        yield _complete(row, given)


def is_feedback(name: str) -> bool:
    """Tell whether an object belongs to the feedback's table."""
    return FEEDBACK in name.replace("\\", "/")


def _within(name: str, days: tuple[date, date] | None) -> bool:
    day = day_of(name)
    return days is None or day is None or days[0] <= day <= days[1]


def _rows_of(source: Source, name: str) -> Iterator[Row]:
    for batch in batches(source.read(name)):
        for row in batch:
            if row.get("row_id") is None:
                raise DamagedObjectError(f"{name} holds a row without a row_id: it is no table of the experience log")
            yield _ALL_NULL | row


def _repeated(source: Source, names: Sequence[str]) -> frozenset[int]:
    """The shortened ids that occur more than once."""
    seen = array("Q")
    for name in names:
        for batch in batches(source.read(name), ["row_id"]):
            seen.extend(_short(str(row.get("row_id"))) for row in batch)
    ordered = np.sort(np.frombuffer(seen, np.uint64)) if seen else np.empty(0, np.uint64)
    return frozenset(ordered[1:][ordered[1:] == ordered[:-1]].tolist())


def _short(row_id: str) -> int:
    """Eight bytes of an id; two rows that meet by chance are told apart by their whole ids later."""
    digits = row_id.replace("-", "")[-2 * _ID_BYTES :]
    try:
        return int(digits, 16)
    except ValueError:
        return hash(row_id) & 0xFFFF_FFFF_FFFF_FFFF


def _rank(row: Row) -> tuple[int, int, int]:
    """What sorts first is the old row of a merge: the one that knows more, then the one that was scored first."""
    known = int(bool(row["has_decision"])) + int(bool(row["has_reply"]))
    return -known, us_of(row["scored_at"]), row["reply_offset"] or 0


def _feedback(source: Source, names: Sequence[str]) -> Mapping[tuple[str, str, str], list[Row]]:
    unique: dict[str, Row] = {}
    for name in names:
        for batch in batches(source.read(name)):
            unique.update((row["feedback_id"], row) for row in batch)
    given: dict[tuple[str, str, str], list[Row]] = {}
    for row in sorted(unique.values(), key=lambda row: (us_of(row["given_at"]), row["feedback_id"])):
        given.setdefault(_utterance(row), []).append(row)
    return given


def _utterance(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["tenant"], row["conversation_id"], row["utterance_id"]


def _complete(row: Row, given: Mapping[tuple[str, str, str], list[Row]] | None) -> Row:
    return row if given is None else row | {"feedback": given.get(_utterance(row), [])}


_ALL_NULL: Final[Row] = {column.name: None for column in COLUMNS}
