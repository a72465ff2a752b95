"""Sample media from what set-up installed: a synthetic voice, and a public-domain portrait that slowly comes nearer."""

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import av
import numpy as np

from multimood.errors import ConfigurationError, InvalidMediaError
from multimood.local.places import installed, tools

Picture = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]
RATE_HZ: Final = 16_000
SIDE_PX: Final = 448
FPS: Final = 25
ZOOM_PER_FRAME: Final = 0.002
SMALLEST_CROP: Final = 0.5


def speech(text: str, path: Path) -> Path:
    """Write the spoken text as a 16 kHz mono WAV file; gives the path.

    Raises:
        ConfigurationError: espeak-ng is not installed.
    """
    return _cached(f"speech {RATE_HZ} {text}".encode(), path, lambda out: _speak(text, out))


def face_clip(wav: Path, path: Path) -> Path:
    """Write an MP4 (H.264, AAC) of a portrait with the given sound over it, as long as the sound; gives the path.

    Raises:
        InvalidMediaError: the WAV file has no sound in it.
    """
    portrait = installed(tools() / "samples" / "portrait.jpg")
    content = b"face %d %d " % (SIDE_PX, FPS) + portrait.read_bytes() + wav.read_bytes()
    return _cached(content, path, lambda out: _film(portrait, wav, out))


def _cached(content: bytes, path: Path, make: Callable[[Path], None]) -> Path:
    """Copy what the same content gave before, or make it. The cache's names say nothing of the content."""
    kept = tools() / "samples" / f"{hashlib.sha256(content).hexdigest()[:32]}{path.suffix}"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_name(f".{os.getpid()}-{kept.name}")
        make(part)
        part.replace(kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(kept.read_bytes())
    return path


def _speak(text: str, out: Path) -> None:
    raw = out.with_suffix(".raw.wav")
    try:
        # The text goes in by stdin: a command line can be read by every user of the machine.
        argv = ["espeak-ng", "-v", "en-us", "-s", "150", "--stdin", "-w", str(raw)]
        subprocess.run(argv, input=text.encode(), check=True, capture_output=True, timeout=60)  # noqa: S603
    except FileNotFoundError:
        raise ConfigurationError("espeak-ng is not on the PATH: run `make setup`") from None
    with av.open(str(raw)) as source, av.open(str(out), "w", format="wav") as target:
        stream = target.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
        for frame in _resampled(source, "s16"):
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    raw.unlink()


def _film(portrait: Path, wav: Path, out: Path) -> None:
    with av.open(str(portrait)) as file:
        image = next(file.decode(video=0)).to_ndarray(format="rgb24")
    with av.open(str(wav)) as sound, av.open(str(out), "w", format="mp4") as target:
        video = target.add_stream("h264", rate=FPS, options={"preset": "veryfast"})
        video.width, video.height, video.pix_fmt = SIDE_PX, SIDE_PX, "yuv420p"
        audio = target.add_stream("aac", rate=RATE_HZ, layout="mono")
        samples = 0
        for frame in _resampled(sound, "fltp"):
            samples += frame.samples
            target.mux(audio.encode(frame))
        if samples == 0:
            raise InvalidMediaError(f"{wav} holds no sound")
        target.mux(audio.encode(None))
        for index in range(max(FPS, samples * FPS // RATE_HZ)):
            frame = av.VideoFrame.from_ndarray(_nearer(image, index), format="rgb24")
            frame = frame.reformat(SIDE_PX, SIDE_PX, "yuv420p")
            frame.pts = index
            target.mux(video.encode(frame))
        target.mux(video.encode(None))


def _nearer(image: Picture, index: int) -> Picture:
    """Crop a square from the upper middle of the portrait (uint8, [h,w,3]), the smaller the later the frame."""
    height, width, _ = image.shape
    side = int(min(height, width) * max(SMALLEST_CROP, 1 - ZOOM_PER_FRAME * index))
    left = (width - side) // 2
    return np.ascontiguousarray(image[:side, left : left + side])


def _resampled(source: "av.container.InputContainer", sample_format: str) -> "list[av.AudioFrame]":
    resampler = av.AudioResampler(sample_format, "mono", RATE_HZ)
    frames: list[av.AudioFrame] = [piece for frame in source.decode(audio=0) for piece in resampler.resample(frame)]
    frames.extend(resampler.resample(None))
    return frames
