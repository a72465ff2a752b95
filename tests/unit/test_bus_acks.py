from collections import deque
from types import SimpleNamespace

import pytest

from multimood.bus.acks import LEAST, Limits, OffsetTracker

pytestmark = pytest.mark.unit


def test_an_open_record_holds_back_everything_behind_it() -> None:
    tracker = OffsetTracker(5)
    for offset in (5, 6, 7):
        tracker.open(offset)
    tracker.done(7)
    tracker.done(6)
    assert (tracker.position, tracker.head, tracker.held, tracker.span) == (5, 5, 1, 3)
    tracker.done(5)
    assert (tracker.position, tracker.head, tracker.held, tracker.span) == (8, None, 0, 0)


def test_holes_are_passed_over() -> None:
    tracker = OffsetTracker(0)
    tracker.open(3)
    tracker.open(9)
    tracker.done(3)
    assert tracker.position == 9
    tracker.done(9)
    assert tracker.position == 10


def test_offsets_do_not_go_backwards() -> None:
    tracker = OffsetTracker(5)
    tracker.open(5)
    with pytest.raises(ValueError, match="5 was opened after 5"):
        tracker.open(5)
    with pytest.raises(ValueError, match="4 was opened"):
        tracker.open(4)


def test_done_twice_and_never_opened_change_nothing() -> None:
    tracker = OffsetTracker(0)
    tracker.open(0, 10)
    tracker.done(0)
    tracker.done(0)
    tracker.done(77)
    assert (tracker.position, tracker.held_bytes) == (1, 0)


@pytest.mark.parametrize(("partitions", "records"), [(1, 500), (4, 500), (12, 166), (1_000, LEAST), (0, 500)])
def test_what_a_topic_may_have_in_work_is_shared_by_its_partitions(partitions: int, records: int) -> None:
    assert Limits(records=500, together=2_000).shared(partitions).records == records
    assert Limits(records=500).shared(partitions).records == 500


@pytest.mark.parametrize(
    ("limits", "room"),
    [(Limits(records=2), False), (Limits(records=3), True), (Limits(bytes=20), False), (Limits(bytes=21), True),
     (Limits(span=4), False), (Limits(span=5), True)],
)  # fmt: skip
def test_limits_are_of_records_of_bytes_and_of_distance(limits: Limits, room: bool) -> None:
    tracker = OffsetTracker(0)
    for offset in range(4):
        tracker.open(offset, 10)
    tracker.done(1)
    tracker.done(3)
    one = SimpleNamespace(offset=4, value=b"x")
    assert limits.take(tracker, deque([one])) == ([one] if room else [])
