"""What may be committed: the lowest offset of a partition that is not done yet. Pure."""

from collections import deque


class OffsetTracker:
    """Open and finished offsets of one partition during one assignment.

    Invariant: `position` never passes an offset that was opened and is not done, whatever the order of `done` calls.
    Offsets are opened in ascending order; holes (compaction, aborted transactions) are skipped over.
    """

    __slots__ = ("_done", "_open", "_position")

    def __init__(self, position: int) -> None:
        self._open: deque[int] = deque()
        self._done: set[int] = set()
        self._position = position

    @property
    def position(self) -> int:
        """The offset to commit: everything below it is done."""
        return self._open[0] if self._open else self._position

    @property
    def pending(self) -> int:
        """Opened and not yet below `position`."""
        return len(self._open)

    def open(self, offset: int) -> None:
        """Take note of a record that was delivered. Raises ValueError when offsets go backwards."""
        if offset < self._position:
            raise ValueError(f"offset {offset} was opened after {self._position - 1}; offsets of a partition ascend")
        self._open.append(offset)
        self._position = offset + 1

    def done(self, offset: int) -> None:
        """Take note that everything this record caused is durable. Doing it twice is harmless."""
        opened = self._open
        if not opened or offset < opened[0]:
            return
        self._done.add(offset)
        while opened and opened[0] in self._done:
            self._done.remove(opened.popleft())
