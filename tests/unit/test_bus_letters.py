"""Dead letters: everything the record had, the reason beside it, and a way back that is taken once."""

from types import SimpleNamespace
from typing import Any

import pytest
from bus_fakes import CANARY

from multimood.bus.filler import HEADERS, is_filler
from multimood.bus.letters import (
    DROPPED,
    REPLAYED,
    Letter,
    Letters,
    Place,
    dead_letter_headers,
    envelope_headers,
    is_receipt,
    receipt_of,
    replay_of,
    sort_letters,
)

pytestmark = pytest.mark.unit

FAULT = {
    "reason": "invalid_media", "error": "the audio is no audio", "service": "audio_encoder", "attempts": "2",
    "topic": "said", "partition": "3", "offset": "17", "time_us": "1000",
}  # fmt: skip


def dead(headers: Any, offset: int = 0, value: bytes | None = b"original", partition: int = 0) -> Any:
    return SimpleNamespace(
        topic="said.dlq", partition=partition, offset=offset, key=b"t/c", value=value, headers=headers
    )


def test_a_letter_has_the_original_headers_and_the_reason() -> None:
    headers = dead_letter_headers([("ce_id", b"i"), ("ce_subject", b"u"), ("own", b"\x00\xff")], FAULT)
    assert headers[:3] == [("ce_id", b"i"), ("ce_subject", b"u"), ("own", b"\x00\xff")]
    letter = Letter.of(dead(headers, 5))
    assert letter == Letter(
        Place("said.dlq", 0, 5), Place("said", 3, 17), "i", "u", "audio_encoder", "invalid_media",
        "the audio is no audio", 2, 1000, whole=True,
    )  # fmt: skip


def test_what_an_earlier_death_said_is_replaced() -> None:
    headers = dead_letter_headers([("mm_reason", b"old"), (REPLAYED, b"x"), ("a", b"1"), ("none", None)], FAULT)
    assert [value for name, value in headers if name == "mm_reason"] == [b"invalid_media"]
    assert not [name for name, _ in headers if name in (REPLAYED, "none")]


@pytest.mark.parametrize("headers", [None, (), [("mm_offset", b"minus one")], [("mm_offset", "²".encode())]])
def test_a_letter_that_says_little_can_still_be_listed(headers: Any) -> None:
    letter = Letter.of(dead(headers))
    assert (letter.reason, letter.origin.offset, letter.time_us) == ("", -1, -1)


def test_a_note_says_where_the_original_lies_and_carries_nothing_large() -> None:
    headers = envelope_headers([("ce_id", b"i"), ("ce_big", b"x" * 2000), ("own", b"y")], FAULT, b"z" * 4096)
    assert [name for name, _ in headers[:2]] == ["ce_id", "mm_reason"]
    letter = Letter.of(dead(headers, value=None))
    assert (letter.whole, letter.event_id, letter.origin) == (False, "i", Place("said", 3, 17))
    assert sum(len(name) + len(value) for name, value in headers) < 1000


def test_a_replay_is_the_original_again_with_a_mark() -> None:
    headers = dead_letter_headers([("ce_id", b"i"), ("own", b"1")], FAULT)
    record = dead(headers, 5)
    back = replay_of(Letter.of(record), record)
    assert (back.topic, back.partition, back.key, back.value) == ("said", 3, b"t/c", b"original")
    assert back.headers == [("ce_id", b"i"), ("own", b"1"), (REPLAYED, b"said.dlq/0/5")]


def test_letters_with_a_receipt_do_not_wait() -> None:
    records = [dead(dead_letter_headers([("n", b"1")], {**FAULT, "time_us": str(50 - n)}), n) for n in range(3)]
    receipt = dead(receipt_of(Letter.of(records[1])), 3, b"")
    assert is_receipt(receipt.headers)
    assert not is_receipt(records[1].headers)
    found = sort_letters([*records, receipt])
    assert [letter.place.offset for letter in found.waiting] == [2, 0], "oldest death first"
    assert [letter.place.offset for letter in found.replayed] == [1]
    other_partition = dead(receipt_of(Letter.of(records[1])), 3, b"", partition=1)
    assert len(sort_letters([*records, other_partition]).waiting) == 2


def test_dropped_letters_are_apart_whether_they_were_replayed_or_not() -> None:
    records = [dead(dead_letter_headers([], FAULT), n) for n in range(3)]
    letters = [Letter.of(record) for record in records]
    receipts = [dead(receipt_of(letters[0], DROPPED), 3, b""), dead(receipt_of(letters[1], DROPPED), 4, b"")]
    found = sort_letters([*records, *receipts, dead(receipt_of(letters[1]), 5, b"")])
    assert all(is_receipt(receipt.headers) for receipt in receipts)
    assert (found.waiting, found.replayed, found.dropped) == ([letters[2]], [], letters[:2])


def test_nothing_of_the_content_is_kept_in_what_is_listed() -> None:
    assert CANARY not in repr(sort_letters([dead(dead_letter_headers([], FAULT), value=CANARY.encode())]))


@pytest.mark.parametrize("text", ["", "a/b", "a/b/c", "/0/1", "a/0/-1", "a/0/1/"])
def test_a_place_is_topic_partition_offset(text: str) -> None:
    assert Place.parse("multimood.a.v1.dlq/3/12") == Place("multimood.a.v1.dlq", 3, 12)
    assert str(Place("a", 3, 12)) == "a/3/12"
    with pytest.raises(ValueError):  # noqa: PT011
        Place.parse(text)


def test_a_filler_is_no_letter() -> None:
    class Filler:
        headers = HEADERS
        value = b""

    assert is_filler(Filler)
    assert sort_letters([Filler]) == Letters([], [], [])
