"""What may be committed: the lowest offset of a partition that is not done yet. Pure."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

LEAST: Final = 50
"""Records that a partition may have in work, however many there are."""


class OffsetTracker:
    """Open and finished offsets of one partition during one assignment.

    Invariant: `position` never passes an offset that was opened and is not done, whatever the order of `done` calls.
    Offsets are opened in ascending order; holes (compaction, aborted transactions) are skipped over.
    """

    __slots__ = ("_bytes", "_open", "_position", "_undone", "closed")

    def __init__(self, position: int) -> None:
        self._open: deque[int] = deque()
        self._undone: dict[int, int] = {}
        self._bytes = 0
        self._position = position
        self.closed = False
        """The partition was taken away: whatever is not done will be delivered again, here or elsewhere."""

    @property
    def position(self) -> int:
        """The offset to commit: everything below it is done."""
        return self._open[0] if self._open else self._position

    @property
    def head(self) -> int | None:
        """The lowest offset that is not done; None when nothing is open."""
        return self._open[0] if self._open else None

    @property
    def span(self) -> int:
        """Records from the lowest open one to the newest: what is read again after a crash."""
        return len(self._open)

    @property
    def held(self) -> int:
        """Records that are not done."""
        return len(self._undone)

    @property
    def held_bytes(self) -> int:
        """Size of the records that are not done."""
        return self._bytes

    def open(self, offset: int, size: int = 0) -> None:
        """Take note of a record that was delivered. Raises ValueError when offsets go backwards."""
        if offset < self._position:
            raise ValueError(f"offset {offset} was opened after {self._position - 1}; offsets of a partition ascend")
        self._open.append(offset)
        self._undone[offset] = size
        self._bytes += size
        self._position = offset + 1

    def done(self, offset: int) -> None:
        """Take note that everything this record caused is durable. Doing it twice is harmless."""
        size = self._undone.pop(offset, None)
        if size is None:
            return
        self._bytes -= size
        opened = self._open
        while opened and opened[0] not in self._undone:
            opened.popleft()

    def close(self) -> None:
        """Take note that the partition was taken away."""
        self.closed = True


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of one partition may be in work. At a limit this partition is not read further; the others are."""

    records: int = 500
    """Delivered and not done. Enough to keep a service busy, few enough that one flood does not fill its memory."""
    bytes: int = 16 << 20
    span: int = 20_000
    """From the oldest record that is not done to the newest: so many are read again after a crash, at most."""
    together: int | None = None
    """Records of all the partitions of a topic that one worker has: each gets its share, if that is less."""

    def shared(self, partitions: int) -> "Limits":
        """Give the limits of each of so many partitions."""
        if self.together is None:
            return self
        return replace(self, records=min(self.records, max(LEAST, self.together // max(partitions, 1))))

    def take(self, tracker: OffsetTracker, waiting: deque[Any]) -> Sequence[Any]:
        """Take from the records that wait as many as may be delivered now, and open them."""
        taken = []
        room = min(len(waiting), self.records - tracker.held, self.span - tracker.span)
        while room > 0 and tracker.held_bytes < self.bytes:
            record = waiting.popleft()
            tracker.open(record.offset, len(record.value or b""))
            taken.append(record)
            room -= 1
        return taken
