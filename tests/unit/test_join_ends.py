"""How a key of a join can end, and how it cannot."""

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from multimood.join import AlreadyJoined, Join

pytestmark = pytest.mark.unit


def required(parts: Mapping[str, str]) -> Collection[str] | None:
    return ("anchor", "part") if "anchor" in parts else None


def new(capacity: int = 10, **options: Any) -> Join[str, int]:
    return Join(required, deadline_s=10, orphan_s=30, capacity=capacity, **options)


def test_complete_at_once_when_the_last_part_comes() -> None:
    join = new()
    assert join.add("k", "part", "p", 1, 0) is None
    joined = join.add("k", "anchor", "a", 2, 5)
    assert joined is not None
    assert (joined.complete, dict(joined.parts), joined.tickets) == (True, {"part": "p", "anchor": "a"}, (1, 2))
    with pytest.raises(AlreadyJoined):
        join.add("k", "part", "p", 3, 5)


def test_the_deadline_runs_from_the_anchor() -> None:
    join = new()
    join.add("k", "anchor", "a", 1, 100)
    assert join.next_deadline() == 110
    assert list(join.expire(109.9)) == []
    (joined,) = join.expire(110)
    assert (joined.complete, joined.tickets) == (False, (1,))
    assert join.next_deadline() is None


def test_a_part_that_was_let_go_does_not_keep_its_utterance_out() -> None:
    join = new()
    join.add("k", "part", "p", 1, 0)
    (let_go,) = join.expire(30)
    assert "anchor" not in let_go.parts
    assert join.add("k", "anchor", "a", 2, 31) is None, "it is welcome, and waits for the part"
    joined = join.add("k", "part", "p again", 3, 32)
    assert joined is not None
    assert joined.complete


def test_when_too_many_wait_parts_without_their_utterance_go_first() -> None:
    join = new(capacity=3)
    join.add("said", "anchor", "a", 0, 0)
    for number in range(1, 5):
        join.add(f"k{number}", "part", "p", number, number)
    assert join.next_deadline() == 0
    assert [joined.key for joined in join.expire(5)] == ["k1", "k2"]
    for number in range(5, 8):
        join.add(f"said{number}", "anchor", "a", number, number)
    assert [joined.key for joined in join.expire(8)] == ["k3", "k4", "said"]
    assert len(join) == 3


def test_of_two_parts_of_a_kind_the_first_stays_unless_the_other_is_preferred() -> None:
    join = new(prefer=lambda new, old: new > old)
    join.add("k", "part", "b", 1, 0)
    join.add("k", "part", "a", 2, 0)
    join.add("k", "part", "c", 3, 0)
    joined = join.add("k", "anchor", "x", 4, 0)
    assert joined is not None
    assert joined.parts["part"] == "c"
    assert joined.tickets == (1, 2, 3, 4)


def test_a_key_can_end_and_begin_anew() -> None:
    join = new(ends=lambda parts: "part" in parts)
    join.add("k", "anchor", "a", 1, 0)
    list(join.expire(10))
    assert join.add("k", "anchor", "a", 2, 11) is None
    assert join.add("k", "part", "p", 3, 12) is not None
    with pytest.raises(AlreadyJoined):
        join.add("k", "part", "p", 4, 12)


def test_what_came_to_nothing_is_opened_again() -> None:
    join = new()
    join.end("k")
    with pytest.raises(AlreadyJoined):
        join.add("k", "anchor", "a", 1, 0)
    join.reopen("k")
    join.reopen("never seen")
    assert join.add("k", "anchor", "a", 1, 0) is None


def test_clearing_forgets_what_waits_and_not_what_ended() -> None:
    join = new()
    join.end("ended")
    join.add("k", "anchor", "a", 1, 0)
    join.add("o", "part", "p", 2, 0)
    join.clear()
    assert (len(join), join.held, join.next_deadline(), list(join.expire(1000))) == (0, 0, None, [])
    with pytest.raises(AlreadyJoined):
        join.add("ended", "part", "p", 3, 0)


def test_only_so_many_ends_are_remembered() -> None:
    join = new(remembers=2)
    for key in "abc":
        join.end(key)
    assert join.add("a", "part", "p", 1, 0) is None
    with pytest.raises(AlreadyJoined):
        join.add("c", "part", "p", 1, 0)


def test_nothing_is_left_behind_of_keys_that_ended() -> None:
    join = new(remembers=10)
    for number in range(1000):
        join.add(f"k{number}", "part", "p", number, number)
        join.add(f"k{number}", "anchor", "a", number, number)
    assert (len(join), join.held, join.next_deadline(), len(join._ended)) == (0, 0, None, 10)
