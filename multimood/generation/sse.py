"""Server-sent events (WHATWG HTML, section 9.2), as much of them as chat endpoints use. Pure."""

from collections.abc import Iterator
from typing import Final

MOST_EVENT_BYTES: Final = 1 << 18


class EventTooLongError(Exception):
    """An event, or a line without an end, over the limit."""


class EventParser:
    """Bytes in, in whatever portions; the data of finished events out."""

    def __init__(self, most_bytes: int = MOST_EVENT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, received: bytes) -> Iterator[str]:
        """Yield the data of every event that ended. Raises EventTooLongError."""
        # A line may end in CR LF that arrive apart: a CR at the very end waits for what follows.
        text = self._rest + received
        held = b"\r" if text.endswith(b"\r") else b""
        text = text[: len(text) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, last = text.split(b"\n")
        self._rest = last + held
        for line in lines:
            if line:
                self._take(line)
            elif self._data:
                yield b"\n".join(self._data).decode("utf-8", "replace")
                self._data.clear()
                self._size = 0
        if self._size + len(self._rest) > self._most_bytes:
            raise EventTooLongError

    def _take(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size += len(value)
            if self._size > self._most_bytes:
                raise EventTooLongError
