"""Dead letters: the original record under `mm_*` headers that say why it died, and what a replay makes of it. Pure.

A letter stays where it is when it was replayed or dropped; beside it goes a receipt (a record without value that names
the letter), so that the same letter is not replayed twice by accident, or listed for ever.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from multimood.bus.filler import HEADER as FILLER

PREFIX: Final = "mm_"
RECEIPT: Final = "mm_replay_of"
DROPPED: Final = "mm_drop_of"
REPLAYED: Final = "mm_replayed"
KEPT_HEADER_BYTES: Final = 1024

Headers = Sequence[tuple[str, bytes | None]]


def _text(headers: Headers | None, name: str, most: int = KEPT_HEADER_BYTES) -> str:
    for key, value in headers or ():
        if key == name and value is not None:
            return bytes(value[:most]).decode("utf-8", "replace")
    return ""


def _number(headers: Headers | None, name: str) -> int:
    digits = _text(headers, name, 20)
    return int(digits) if digits.isdecimal() else -1


def dead_letter_headers(headers: Headers | None, fault: Mapping[str, str]) -> list[tuple[str, bytes]]:
    """The original headers and, beside them, why the record could not be processed (`mm_*`)."""
    kept = [(name, value) for name, value in headers or () if not name.startswith(PREFIX) and value is not None]
    return [*kept, *((f"{PREFIX}{name}", value.encode()) for name, value in fault.items())]


def envelope_headers(headers: Headers | None, fault: Mapping[str, str], value: bytes | None) -> list[tuple[str, bytes]]:
    """Headers of a letter that is too large to be sent whole: attributes and reason, and where the original lies."""
    small = [
        (name, value)
        for name, value in headers or ()
        if name.startswith("ce_") and value is not None and len(value) <= KEPT_HEADER_BYTES
    ]
    return dead_letter_headers(small, {**fault, "without_value": str(len(value or b""))})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record lies."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Read `topic/partition/offset`. Raises ValueError when it is none."""
        topic, partition, offset = text.rsplit("/", 2)
        if not topic or not partition.isdecimal() or not offset.isdecimal():
            raise ValueError(text)
        return cls(topic, int(partition), int(offset))


@dataclass(frozen=True, slots=True)
class Letter:
    """All that is known of a dead letter but its content."""

    place: Place
    origin: Place
    event_id: str
    utterance_id: str
    service: str
    reason: str
    error: str
    attempts: int
    time_us: int
    whole: bool
    """False: it was too large, the original has to be read where it lies."""

    @classmethod
    def of(cls, record: Any) -> "Letter":
        """Read a record of a dead-letter topic (as kafka-python or aiokafka gives it)."""
        headers = record.headers
        return cls(
            Place(record.topic, record.partition, record.offset),
            Place(_text(headers, "mm_topic"), _number(headers, "mm_partition"), _number(headers, "mm_offset")),
            _text(headers, "ce_id"),
            _text(headers, "ce_subject"),
            _text(headers, "mm_service"),
            _text(headers, "mm_reason"),
            _text(headers, "mm_error"),
            _number(headers, "mm_attempts"),
            _number(headers, "mm_time_us"),
            not _text(headers, "mm_without_value"),
        )


@dataclass(frozen=True, slots=True)
class Replay:
    """The record that brings a letter back: the original bytes, key, headers and partition."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


def is_receipt(headers: Headers | None) -> bool:
    """Tell whether a record of a dead-letter topic only says that a letter was replayed or dropped, or nothing."""
    return any(name in {RECEIPT, DROPPED, FILLER} for name, _ in headers or ())


def receipt_of(letter: Letter, name: str = RECEIPT) -> list[tuple[str, bytes]]:
    """Headers of the receipt (RECEIPT or DROPPED), which is written into the letter's own partition."""
    return [(name, str(letter.place).encode())]


def replay_of(letter: Letter, source: Any) -> Replay:
    """What to publish. `source` is the letter's record if the letter is whole, else the record at its origin.

    The partition is the original one, so that the conversation's records meet again whoever chose it.
    """
    kept = [(name, value) for name, value in source.headers or () if not name.startswith(PREFIX) and value is not None]
    headers = [*kept, (REPLAYED, str(letter.place).encode())]
    return Replay(letter.origin.topic, letter.origin.partition, source.key, source.value, headers)


@dataclass(frozen=True, slots=True)
class Letters:
    """Dead letters, in the order of their death."""

    waiting: list[Letter]
    replayed: list[Letter]
    dropped: list[Letter]
    """Given up by an operator, whether replayed before or not."""


def sort_letters(records: Iterable[Any]) -> Letters:
    """Tell the letters that wait from those that a receipt names. Nothing of the records is kept."""
    letters: list[Letter] = []
    replayed: set[str] = set()
    dropped: set[str] = set()
    for record in records:
        if is_receipt(record.headers):
            replayed.add(_text(record.headers, RECEIPT))
            dropped.add(_text(record.headers, DROPPED))
        else:
            letters.append(Letter.of(record))
    letters.sort(key=lambda letter: (letter.time_us, letter.place.topic, letter.place.partition, letter.place.offset))
    sorted_letters = Letters([], [], [])
    for letter in letters:
        place = str(letter.place)
        fate = "dropped" if place in dropped else "replayed" if place in replayed else "waiting"
        getattr(sorted_letters, fate).append(letter)
    return sorted_letters
