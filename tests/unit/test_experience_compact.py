"""Compaction: broken off anywhere, done again, read in between. All words are made up."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pytest
from reward_events import T0, MemorySource, context, decision, feedback_row, reply, row_of, trust

from multimood.contracts.v1 import events_pb2 as pb
from multimood.experience import FEEDBACK_SCHEMA, SCHEMA, Origin, rows
from multimood.experience.compact import AFTER_DAYS, Compacted, compact
from multimood.experience.schema import Row
from multimood.experience.table import encode

pytestmark = pytest.mark.unit

DAY = date(2026, 9, 21)
TODAY = DAY + timedelta(days=AFTER_DAYS)
FOLDER = f"experience/v2/date={DAY}/"


class Crash(Exception):  # noqa: N818
    """The process ends here."""


@dataclass
class Shelf(MemorySource):
    """A place that ends the process before its nth change, and is read whole before each."""

    until: int = 1_000_000
    seen: list[list[str]] = field(default_factory=list)

    def write(self, name: str, data: bytes) -> None:
        self._change()
        self.kept[name] = data

    def remove(self, name: str) -> None:
        self._change()
        del self.kept[name]

    def _change(self) -> None:
        self.seen.append(ids(self))
        if len(self.seen) > self.until:
            raise Crash


def ids(source: Any) -> list[str]:
    return sorted(row["row_id"] for row in rows(source))


def everything(source: Any) -> list[Row]:
    return sorted(rows(source, feedback=True), key=lambda row: row["row_id"])


def whole(name: str, offset: int = 0) -> Row:
    said = context(name)
    return row_of(decision(said), reply(said), trust(said), Origin(0, offset, T0 // 1000))


def log() -> dict[str, bytes]:
    """Windows, a row in two halves, one in two places, feedback, a younger day."""
    said = context("halves")
    replied = row_of(None, reply(said), trust(said), Origin(0, 600, T0 // 1000))
    rating = feedback_row(pb.Feedback(context=context("u0"), rating=0.5), "f", Origin(0, 0, T0 // 1000))
    return {
        f"{FOLDER}decision-0-0.parquet": encode([row_of(decision(said))], SCHEMA),
        f"{FOLDER}reply-0-0.parquet": encode([whole("u0"), whole("u1", 1)], SCHEMA),
        f"{FOLDER}reply-0-1.parquet": encode([whole("u1", 1), whole("u2", 300)], SCHEMA),
        f"{FOLDER}reply-0-2.parquet": encode([replied], SCHEMA),
        f"feedback/v2/date={DAY}/feedback-0-0.parquet": encode([rating], FEEDBACK_SCHEMA),
        f"feedback/v2/date={DAY}/feedback-0-1.parquet": encode([rating], FEEDBACK_SCHEMA),
        f"experience/v2/date={TODAY}/reply-0-9.parquet": encode([whole("young", 900)], SCHEMA),
        f"experience/v1/date={DAY}/reply-0-0.parquet": encode([whole("old")], SCHEMA),
    }


def test_small_objects_become_few_large_ones_and_say_the_same() -> None:
    before, shelf = MemorySource(log()), Shelf(log())
    assert compact(shelf, today=TODAY) == Compacted(days=2, small=6, large=2, kept=0)
    assert everything(shelf) == everything(before)
    assert len(shelf.kept) == 4, "two large ones, the younger day, the older version"
    kept = dict(shelf.kept)
    assert compact(shelf, today=TODAY) == Compacted()
    assert shelf.kept == kept
    assert all(seen == ids(before) for seen in shelf.seen), "a reader had each row once at every instant"


@pytest.mark.parametrize("until", range(9))
def test_a_compaction_that_is_broken_off_is_done_again(until: int) -> None:
    before, shelf = MemorySource(log()), Shelf(log(), until)
    try:
        compact(shelf, today=TODAY)
    except Crash:
        assert ids(shelf) == ids(before)
    shelf.until = 1_000_000
    compact(shelf, today=TODAY)
    assert everything(shelf) == everything(before)
    assert len(shelf.kept) == 4


def test_a_row_that_comes_late_is_kept_and_joins_the_next_time() -> None:
    shelf = Shelf(log())
    compact(shelf, today=TODAY)
    shelf.kept[f"{FOLDER}reply-0-1.parquet"] = encode([whole("u2", 300), whole("late", 301)], SCHEMA)
    expected = ids(shelf)
    assert compact(shelf, today=TODAY) == Compacted(days=1, small=1, large=1)
    assert ids(shelf) == expected


def test_days_that_a_writer_may_still_write_into_stay_as_they_are() -> None:
    shelf = Shelf(log())
    assert compact(shelf, today=TODAY - timedelta(days=1)) == Compacted()
    assert compact(shelf, today=DAY + timedelta(days=1), after_days=1).days == 2
    with pytest.raises(ValueError, match="at least 1"):
        compact(shelf, after_days=0)
