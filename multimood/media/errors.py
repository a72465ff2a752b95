"""Why a piece of media cannot be used, as a short stable label that can be counted."""

from enum import StrEnum

from multimood.errors import InvalidMediaError


class MediaFault(StrEnum):
    """Stable labels; metrics and `MissingReason` are derived from them."""

    CORRUPT = "corrupt"
    UNSUPPORTED_TYPE = "unsupported_type"
    TOO_LARGE = "too_large"
    TOO_LONG = "too_long"
    TOO_MANY_STREAMS = "too_many_streams"
    RESOLUTION = "resolution"
    NO_AUDIO_STREAM = "no_audio_stream"
    NO_VIDEO_STREAM = "no_video_stream"
    EMPTY = "empty"


class MediaError(InvalidMediaError):
    """Media that cannot be used. `reason` is the label; the message has numbers and type names, never content."""

    def __init__(self, reason: MediaFault, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
