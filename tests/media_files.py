"""Small real media files, made with PyAV while the tests run."""

import io
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from multimood.media import audio, video
from multimood.media.limits import MediaLimits


def tone(seconds: float, rate: int = 16_000, hertz: float = 440.0) -> np.ndarray:
    t = np.arange(int(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def sound(  # noqa: PLR0917
    container: str, codec: str, seconds: float = 1.0, rate: int = 16_000, layout: str = "mono", tracks: int = 1
) -> bytes:
    """A sine of 440 Hz, the same in every channel and track."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as mux:
        streams = [mux.add_stream(codec, rate=rate, layout=layout) for _ in range(tracks)]
        samples = (tone(seconds, rate) * 32767).astype(np.int16)
        for stream in streams:
            size = 1024
            for at in range(0, len(samples), size):
                piece = samples[at : at + size]
                channels = stream.codec_context.layout.nb_channels
                frame = av.AudioFrame.from_ndarray(np.repeat(piece, channels)[None], "s16", layout)
                frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
                mux.mux(stream.encode(frame))
            mux.mux(stream.encode(None))
    return out.getvalue()


def clip(  # noqa: PLR0917
    seconds: float = 1.0,
    rate: int = 25,
    width: int = 64,
    height: int = 48,
    container: str = "mp4",
    codec: str = "mpeg4",
    options: dict[str, str] | None = None,
) -> bytes:
    """Pictures whose red is the time (0..250 over the clip), whose top left quarter is blue."""
    out = io.BytesIO()
    count = max(1, round(seconds * rate))
    with av.open(out, "w", format=container, options=options or {}) as mux:
        stream = mux.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.bit_rate = 4_000_000
        picture = np.zeros((height, width, 3), np.uint8)
        for i in range(count):
            picture[..., 0] = 250 * i // count
            picture[: height // 2, : width // 2, 2] = 255
            mux.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        mux.mux(stream.encode(None))
    return out.getvalue()


def turned(mp4: bytes, matrix: tuple[int, int, int, int]) -> bytes:
    """The MP4 with another display matrix (a, b, c, d as 16.16 fixed point) in its track header."""
    at = mp4.index(b"tkhd") + 4
    at += 40 if mp4[at] == 0 else 52  # version 1 has 64-bit times
    a, b, c, d = ((x << 16).to_bytes(4, "big", signed=True) for x in matrix)
    zero, one = bytes(4), (1 << 30).to_bytes(4)
    return mp4[:at] + a + b + zero + c + d + zero + zero + zero + one + mp4[at + 36 :]


@dataclass(frozen=True)
class InProcess:
    """Stands for `Decoders`: the same functions without the processes around them."""

    limits: MediaLimits

    async def wave(self, data: bytes) -> np.ndarray:
        return audio.decode(data, self.limits)

    async def frames(self, data: bytes, *, fps: float, most: int) -> np.ndarray:
        return video.sample_frames(data, self.limits, fps=fps, most=most)
