"""Pictures: a clip -> a few frames spread over it -> one vector that says how the face looked and moved."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from multimood.media.container import DECODE_FAULTS, Deadline, opened, packets
from multimood.media.errors import MediaError, MediaFault
from multimood.media.limits import MediaLimits

Frames = NDArray[np.uint8]

SIZE: Final = 448
"""Of the squares that the face detector takes, in pixels."""
FACE: Final = 5
"""Numbers that say where a face is: its centre, width and height as shares of the square's side, and a score."""
_QUARTER_TURN: Final = 90


def sample_frames(data: bytes, limits: MediaLimits, fps: float = 4.0, size: int = SIZE, most: int = 16) -> Frames:
    """Frames of a clip's first video stream: uint8 [n, size, size, 3], RGB, 1 <= n <= most.

    Each is turned upright (phones store portrait clips sideways), scaled so that its longer side is `size`, and
    zero-padded at the bottom or right. They are `1/fps` apart or, in a clip longer than `most / fps`, spread
    evenly over all of it. Raises `MediaError` (`no_video_stream`, `resolution`, and those of `audio.decode`).
    """
    with opened(data, limits) as container:
        if not container.streams.video:
            raise MediaError(MediaFault.NO_VIDEO_STREAM, "the file has no pictures")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise MediaError(MediaFault.UNSUPPORTED_TYPE, "no decoder for the video track")
        if stream.codec_context.width > limits.width or stream.codec_context.height > limits.height:
            raise _resolution(stream.codec_context, limits)
        stream.thread_type = "NONE"
        stream.codec_context.options = {"max_pixels": str(limits.width * limits.height)}
        if stream.average_rate and stream.average_rate > 2 * fps:
            stream.codec_context.skip_frame = "NONREF"  # frames that no other needs: up to half the work saved
        sampler = _Sampler(_step(container, stream, fps, most), size, most)
        for seconds, frame in _timed_frames(container, stream, limits):
            sampler.offer(seconds, frame)
    if not sampler.kept:
        raise MediaError(MediaFault.EMPTY, "the video track has no frames that can be decoded")
    return np.stack(sampler.kept)


def pool(
    face: NDArray[np.float32], features: NDArray[np.float32], probabilities: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], int] | None:
    """One vector for a clip from the encoder's rows: face [n, 5], features [n, d], probabilities [n, 7] if it has any.

    Returns mean and standard deviation over the frames in which a face was found (float32 [2 d]) and their number, or
    None when there is none. A row with a value that is not finite counts as no face.
    """
    found = (face[:, 4] > 0) & np.isfinite(features).all(axis=1)
    if probabilities is not None:
        found &= np.isfinite(probabilities).all(axis=1)
    if not found.any():
        return None
    rows = features[found]
    return np.concatenate([rows.mean(axis=0), rows.std(axis=0)]).astype(np.float32), int(found.sum())


class _Sampler:
    """Keeps at most `most` evenly spread frames of a clip whose real length nobody knows.

    When it is full and another frame is due, every second one is dropped and the step doubled.
    """

    def __init__(self, step: float, size: int, most: int) -> None:
        self.kept: list[Frames] = []
        self._step, self._size, self._most = step, size, most
        self._due = 0.0

    def offer(self, seconds: float, frame: Any) -> None:
        if seconds + 1e-6 < self._due:
            return
        if len(self.kept) == self._most:
            self.kept = self.kept[::2]
            self._step *= 2
            self._due = len(self.kept) * self._step
            if seconds + 1e-6 < self._due:
                return
        try:
            picture = _upright(frame, self._size)
        except DECODE_FAULTS:
            return
        self.kept.append(picture)
        self._due = max(self._due + self._step, seconds + self._step / 2)


def _step(container: Any, stream: Any, fps: float, most: int) -> float:
    """Seconds between samples, from the duration that the file claims; the sampler corrects one that is too short."""
    claimed = 0.0
    if stream.duration and stream.time_base:
        claimed = float(stream.duration * stream.time_base)
    elif container.duration:
        claimed = container.duration / 1_000_000
    return max(1 / fps, claimed / most)


def _timed_frames(container: Any, stream: Any, limits: MediaLimits) -> Iterator[tuple[float, Any]]:
    """Seconds since the first frame, and the frame. Time never runs backwards, whatever the file says."""
    deadline = Deadline(limits.decode_s)
    interval = float(1 / stream.average_rate) if stream.average_rate else 0.04
    first: float | None = None
    seconds, count = -interval, 0
    for packet in packets(container, stream):
        deadline.check()
        try:
            frames = packet.decode()
        except DECODE_FAULTS:
            continue
        for frame in frames:
            count += 1
            if count > limits.frames:
                raise MediaError(MediaFault.TOO_LONG, f"more than {limits.frames} frames")
            if frame.width > limits.width or frame.height > limits.height:
                raise _resolution(frame, limits)
            stamp = frame.time
            first = stamp if first is None else first
            seconds = max(seconds, stamp - first) if stamp is not None and first is not None else seconds + interval
            if seconds > limits.duration_s:
                raise MediaError(MediaFault.TOO_LONG, f"more than {limits.duration_s:g} s of video")
            yield seconds, frame


def _upright(frame: Any, size: int) -> Frames:
    scale = size / max(frame.width, frame.height)
    width, height = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    picture = frame.reformat(width=width, height=height, format="rgb24", threads=1).to_ndarray()
    turns = round(frame.rotation / _QUARTER_TURN) % 4
    picture = np.rot90(picture, turns)
    square = np.zeros((size, size, 3), np.uint8)
    square[: picture.shape[0], : picture.shape[1]] = picture
    return square


def _resolution(picture: Any, limits: MediaLimits) -> MediaError:
    return MediaError(
        MediaFault.RESOLUTION, f"{picture.width}x{picture.height}, allowed are {limits.width}x{limits.height}"
    )
