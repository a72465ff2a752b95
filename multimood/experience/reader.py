"""Reading the log: every row once, one object in memory at a time, of every version that was ever written.

Equal row ids in different objects are possible: a decision and its much later reply, a reply published twice, copies of
an object, a compaction between its two steps. A first pass over the ids alone finds them; the rows concerned are merged
and come last. Objects that a compaction takes away in the meantime are looked for in what it made of them.
"""

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

import numpy as np

from multimood.errors import NotFoundError, UnavailableError
from multimood.experience.later import Later, Waiting
from multimood.experience.naming import day_of, is_feedback
from multimood.experience.record import merge, us_of
from multimood.experience.schema import COLUMNS, READABLE, Row
from multimood.experience.sources import Source
from multimood.experience.table import DamagedObjectError, batches, check_kinds

ATTEMPTS: Final = 3
"""Listings, when objects are taken away while they are being read."""
_ID_BYTES: Final = 8
_ALWAYS: Final = (
    "schema_version", "row_id", "tenant", "conversation_id", "utterance_id", "step", "models",
    "occurred_at", "decided_at", "replied_at",
)  # fmt: skip
"""Columns that reading itself needs."""

Days = tuple[date, date] | None
Advance = Callable[[int, int], None]
"""Told after each object: how many have been read, of how many."""
Opens = Callable[[Row], Row]


def rows(
    source: Source,
    *,
    days: Days = None,
    feedback: bool = False,
    waiting: Waiting | None = None,
    now: datetime | None = None,
    advance: Advance | None = None,
    opens: Opens | None = None,
    columns: Collection[str] | None = None,
) -> Iterator[Row]:
    """Iterate over the log's rows: each row id once, all columns there, null where a file lacks one.

    `days`: the first and the last day (UTC) to read; files that no day can be told of are always read. `feedback`: give
    every row further columns with what came later (`multimood.experience.later`), as `waiting` says, judged at `now`
    (default: the present moment). `advance` is told of progress. `opens` gives what was said where it is sealed
    (`multimood.experience.sealing.RowOpener`); without it sealed content stays null. `columns`: who needs no others
    reads faster; the rest may then be null.

    Memory: one object, 16 bytes for every row, and with `feedback` all of the feedback and some 300 bytes for every
    row. Raises DamagedObjectError, UnavailableError when objects go faster than they can be read, and what the source
    raises.
    """
    complete = _Complete(opens)
    listing, complete.later = _begin(source, days, (waiting or Waiting()) if feedback else None, now)
    wanted = None if columns is None else tuple({*columns, *_ALWAYS})
    held: dict[str, Row] = {}
    owed: set[int] = set()
    for number, name in enumerate(listing.names, 1):
        try:
            # Rows that are merged need all of their columns. An object is read whole: it is not there, or all of it is.
            whole = wanted is None or not listing.repeated.isdisjoint(listing.ids[name])
            for row in _rows_of(source, name, None if whole else wanted):
                if _short(row["row_id"]) not in listing.repeated:
                    yield complete(row)
                else:
                    _hold(held, row)
        except NotFoundError:
            owed.update(listing.ids[name])
        if advance is not None:
            advance(number, len(listing.names))
    if owed:
        yield from map(complete, _found_again(source, days, listing, owed, held))
    for row in held.values():
        yield complete(row)


@dataclass(slots=True)
class _Listing:
    """What was there when reading began."""

    names: Sequence[str]
    feedback: Sequence[str]
    all_names: Sequence[str]
    """Those of other days, too."""
    ids: dict[str, "array[int]"] = field(default_factory=dict)
    """Shortened ids of every object's rows."""
    repeated: frozenset[int] = frozenset()
    """Those that occur more than once."""

    @classmethod
    def of(cls, source: Source, found: Sequence[str], days: Days) -> "_Listing":
        """Raises NotFoundError when an object is gone before it was read."""
        every = [name for name in found if not is_feedback(name)]
        names = [name for name in every if _within(name, days)]
        ids = {name: _ids(source, name) for name in names}
        return cls(names, [name for name in found if is_feedback(name)], every, ids, _repeated(ids.values()))


def _begin(source: Source, days: Days, waiting: Waiting | None, now: datetime | None) -> tuple[_Listing, Later | None]:
    for _ in range(ATTEMPTS):
        found = [one.name for one in source.objects()]
        try:
            listing = _Listing.of(source, found, days)
            if waiting is None:
                return listing, None
            # A turn's next one may lie on a later day than those asked for.
            until = None if days is None else (days[0], _after(days[1], waiting))
            names = [name for name in listing.all_names if _within(name, until)]
            return listing, Later.of(source, listing.feedback, names, waiting, now)
        except NotFoundError as error:
            gone = str(error)
    raise UnavailableError(f"objects of the log went away {ATTEMPTS} times while they were read; the last: {gone}")


def _after(day: date, waiting: Waiting) -> date:
    """The last day that the window of a turn of this day may reach into."""
    return (
        date.max
        if day.toordinal() + waiting.window.days + 1 > date.max.toordinal()
        else (day + waiting.window + timedelta(days=1))
    )


def _found_again(source: Source, days: Days, before: _Listing, owed: set[int], held: dict[str, Row]) -> Iterator[Row]:
    """The rows of objects that are gone, from objects that have come since."""
    now, _ = _begin(source, days, None, None)
    for name in now.names:
        if name in before.ids:
            continue
        for row in _rows_of(source, name):
            short = _short(row["row_id"])
            if short not in owed and short not in before.repeated:
                continue  # was given already, or is new
            if short in before.repeated or short in now.repeated:
                _hold(held, row)
            else:
                yield row
            owed.discard(short)
    if owed:
        raise UnavailableError(f"{len(owed)} rows of the log went away while it was read: read it again")


def _hold(held: dict[str, Row], row: Row) -> None:
    other = held.get(row["row_id"])
    held[row["row_id"]] = row if other is None else merge(*sorted((other, row), key=_rank))


def _within(name: str, days: Days) -> bool:
    day = day_of(name)
    return days is None or day is None or days[0] <= day <= days[1]


def _rows_of(source: Source, name: str, columns: Sequence[str] | None = None) -> Iterator[Row]:
    for batch in batches(source.read(name), columns):
        for row in batch:
            if row.get("row_id") is None:
                raise DamagedObjectError(f"{name} holds a row without a row_id: it is no table of the experience log")
            yield upgraded(_ALL_NULL | row, name)


def upgraded(row: Row, name: str) -> Row:
    """A row of an older version in the form of the present one. Its ids stay what they were then."""
    version = row["schema_version"]
    if version is not None and version not in READABLE:
        known = ", ".join(map(str, READABLE))
        raise DamagedObjectError(f"{name} is of version {version}; this reader knows {known}: take a newer multimood")
    if version == 1 and row["models"] is not None:
        row["models"] = [{"sha256": None, **model} for model in row["models"]]
    return row


def _ids(source: Source, name: str) -> "array[int]":
    data = source.read(name)
    try:
        check_kinds(data)
        return array("Q", (_short(str(row.get("row_id"))) for batch in batches(data, ["row_id"]) for row in batch))
    except DamagedObjectError as error:
        raise DamagedObjectError(f"{name}: {error}; take it out of the log, or put a sound copy there") from None


def _repeated(ids: Iterable["array[int]"]) -> frozenset[int]:
    arrays = [np.frombuffer(one, np.uint64) for one in ids if one]
    ordered = np.sort(np.concatenate(arrays)) if arrays else np.empty(0, np.uint64)
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


@dataclass(slots=True)
class _Complete:
    """What a row gets beside its own columns."""

    opens: Opens | None
    later: Later | None = None

    def __call__(self, row: Row) -> Row:
        opened = row if self.opens is None else self.opens(row)
        return opened if self.later is None else opened | self.later.of_row(row)


_ALL_NULL: Final[Row] = {column.name: None for column in COLUMNS}
