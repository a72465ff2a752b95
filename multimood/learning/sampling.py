"""Which conversations of a log are learned from, which are held back, and what to call the lot of them. Pure.

Both are told by a hash of the conversation, so they do not depend on the order in which rows are read, and a log that
grows keeps what it held back.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Row = Mapping[str, Any]
Part = Literal["train", "held"]
_SPAN: Final = 1 << 64
_ROOM: Final = 2
"""So many times the wanted rows are counted before conversations are let go."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """By seed: the same conversations each time."""

    seed: int = 0
    held: float = 0.3
    """Share of the conversations that is held back, 0..1."""
    below: int = _SPAN
    """Conversations whose place is not below this one are left out: there are too many."""

    def place(self, row: Row) -> int:
        """Of the row's conversation, in the order in which conversations are taken."""
        return int.from_bytes(self._digest(row)[:8], "little")

    def part(self, row: Row) -> Part | None:
        """Which part the row's conversation is in; None: left out."""
        digest = self._digest(row)
        if int.from_bytes(digest[:8], "little") >= self.below:
            return None
        return "held" if int.from_bytes(digest[8:], "little") < self.held * _SPAN else "train"

    def _digest(self, row: Row) -> bytes:
        name = f"{self.seed}\n{row['tenant']}\n{row['conversation_id']}"
        return hashlib.blake2b(name.encode(), digest_size=16).digest()


class Crowd:
    """Counts rows by conversation, to find below which place there are at most so many of them."""

    def __init__(self, most_rows: int) -> None:
        self._most = most_rows
        self._rows: dict[int, int] = {}
        self._total = 0
        self._below = _SPAN

    def add(self, place: int) -> None:
        """One row of the conversation at a place. Memory: some 100 bytes for each of twice the wanted rows."""
        if place >= self._below:
            return
        self._rows[place] = self._rows.get(place, 0) + 1
        self._total += 1
        if self._total > _ROOM * self._most:
            self._let_go()

    def below(self) -> int:
        """The place; the same whatever the order of rows was. The first conversation is always below it."""
        self._let_go()
        return self._below

    def _let_go(self) -> None:
        """Whoever is beyond the wanted rows now stays beyond: the rows before only become more."""
        kept: dict[int, int] = {}
        total = 0
        for place in sorted(self._rows):
            if kept and total + self._rows[place] > self._most:
                self._below = place
                break
            kept[place] = self._rows[place]
            total += self._rows[place]
        self._rows, self._total = kept, total


@dataclass(slots=True)
class Fingerprint:
    """Names a set of rows, in whatever order they come: the sum of their hashes."""

    rows: int = 0
    _sum: int = 0
    first: str | None = None
    """When the first decision was made, ISO; None: not told."""
    last: str | None = None
    policies: dict[str, int] = field(default_factory=dict)
    """Rows by the version of the policy that decided."""
    rewards: dict[str, int] = field(default_factory=dict)
    """Rows by the version of the reward."""

    def add(self, row: Row, value: float | None) -> None:
        """One row, and its reward."""
        names = ("row_id", "schema_version", "policy_version", "reward_version", "chosen", "propensity")
        told = "\n".join([*(str(row[name]) for name in names), repr(value)])
        self._sum += int.from_bytes(hashlib.sha256(told.encode()).digest())
        self.rows += 1
        if (at := row["decided_at"]) is not None:
            told = at.isoformat() if hasattr(at, "isoformat") else str(at)
            self.first = min(told, self.first or told)
            self.last = max(told, self.last or told)
        for counts, name in ((self.policies, "policy_version"), (self.rewards, "reward_version")):
            version = row[name] or "none"
            counts[version] = counts.get(version, 0) + 1

    def __str__(self) -> str:
        return hashlib.sha256(f"{self.rows}\n{self._sum}".encode()).hexdigest()[:32]

    def as_json(self) -> dict[str, Any]:
        """For a run's `data.json`."""
        told = {"first": self.first, "last": self.last, "policy_versions": self.policies}
        return {"fingerprint": str(self), "rows": self.rows, **told, "reward_versions": self.rewards}


def counted(values: Iterable[tuple[str, int]]) -> str:
    """`a (12), b (3)`: for errors that name a mixture."""
    return ", ".join(f"{name} ({number})" for name, number in sorted(values, key=lambda item: -item[1]))
