"""How much of an unknown file we are willing to look at."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """Upper bounds for one object. A file that exceeds one of them is refused, not cut.

    The defaults suit utterances: a minute of speech, full HD in either orientation. What a decoder takes of memory
    while it finds out is bounded by its process (`decoder.MEMORY`).
    """

    size_bytes: int = 32 << 20
    duration_s: float = 60.0
    width: int = 1920
    height: int = 1920
    frames: int = 3600
    """Video frames that may be decoded."""
    streams: int = 8
    """Elementary streams (tracks, cover pictures, subtitles) of a container."""
    decode_s: float = 20.0
    """Wall-clock time that decoding may take; what needs longer counts as too long."""
