"""Opening untrusted containers: one demuxer, no other files, no network, bounded streams, pixels and time."""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import av
import av.error

from multimood.media.errors import MediaError, MediaFault
from multimood.media.limits import MediaLimits
from multimood.media.sniff import sniff

PROBE_BYTES: Final = 1 << 20
DECODE_FAULTS: Final = (av.error.FFmpegError, ValueError, OverflowError, NotImplementedError)
"""What PyAV raises on data it cannot make sense of. `MemoryError` and `KeyboardInterrupt` are not among them, but for
FFmpeg's own ENOMEM, which is how it answers an absurd size in a header."""


class Deadline:
    """The wall-clock bound on one decoding."""

    __slots__ = ("_ends", "_limit")

    def __init__(self, seconds: float) -> None:
        self._limit = seconds
        self._ends = time.monotonic() + seconds

    def check(self) -> None:
        """Raise `too_long` once the time is over."""
        if time.monotonic() > self._ends:
            raise MediaError(MediaFault.TOO_LONG, f"decoding took more than {self._limit:g} s")


@contextmanager
def opened(data: bytes, limits: MediaLimits) -> Iterator[Any]:
    """Open the container of `data` for demuxing; it has no more streams than allowed.

    The demuxer is the sniffed one, so a playlist in disguise cannot name local files or addresses, and `_refuse`
    denies every reference to a second file. Raises `MediaError`.
    """
    if len(data) > limits.size_bytes:
        raise MediaError(MediaFault.TOO_LARGE, f"{len(data)} bytes, allowed are {limits.size_bytes}")
    options = {
        "max_pixels": str(limits.width * limits.height),
        "threads": "1",
        "max_streams": str(limits.streams + 1),
        "probesize": str(PROBE_BYTES),
        "max_probe_packets": "256",
        "analyzeduration": "5000000",
    }
    demuxer = sniff(data).demuxer
    try:
        container = av.open(
            io.BytesIO(data),
            "r",
            format=demuxer,
            options=options,
            metadata_errors="ignore",
            timeout=limits.decode_s,
            io_open=_refuse,
        )
    except DECODE_FAULTS as fault:
        raise MediaError(MediaFault.CORRUPT, f"no {demuxer} container can be read ({type(fault).__name__})") from None
    try:
        count = len(container.streams)
        if count > limits.streams:
            raise MediaError(MediaFault.TOO_MANY_STREAMS, f"at least {count} streams, allowed are {limits.streams}")
        yield container
    finally:
        container.close()


def packets(container: Any, stream: Any) -> Iterator[Any]:
    """Yield one stream's packets until the file ends or stops making sense; the last one flushes the decoder."""
    try:
        yield from container.demux(stream)
    except DECODE_FAULTS:
        return


def _refuse(_url: str, _flags: int, _options: dict[str, str]) -> NoReturn:
    raise PermissionError("media may not refer to other files")
