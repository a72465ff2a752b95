"""Sound: any accepted file -> 16 kHz mono -> the log-mel pictures that Whisper's encoder and transcriber take."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray

from multimood.media.container import DECODE_FAULTS, Deadline, opened, packets
from multimood.media.errors import MediaError, MediaFault
from multimood.media.limits import MediaLimits

SAMPLE_RATE: Final = 16_000
HOP: Final = 160
WINDOW: Final = 400
MELS: Final = 80
MOST_FRAMES: Final = 3000
"""30 s: what Whisper's position table has room for."""
FRAME_QUANTUM: Final = 32
"""Un-padded spectrograms are rounded up to 0.32 s, so that a model server meets few lengths and can batch them."""
TRANSCRIBER_SILENCE_S: Final = 10.0
"""Whisper's decoder loops on un-padded speech; with 10 s of silence behind it, it stops where it should."""
LONGEST_SPEECH_S: Final = MOST_FRAMES * HOP / SAMPLE_RATE - TRANSCRIBER_SILENCE_S
SOURCE_RATES: Final = range(4_000, 192_001)
MOST_CHANNELS: Final = 8

Wave = NDArray[np.float32]


def decode(data: bytes, limits: MediaLimits) -> Wave:
    """Decode the first audio stream of a file: float32 [n], 16 kHz, mono, within [-1, 1].

    Damaged packets are left out, what comes after them is kept. Raises `MediaError` (`no_audio_stream`, `empty`,
    `corrupt`, `unsupported_type`, `too_large`, `too_long`, `too_many_streams`).
    """
    with opened(data, limits) as container:
        if not container.streams.audio:
            raise MediaError(MediaFault.NO_AUDIO_STREAM, "the file has no sound track")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise MediaError(MediaFault.UNSUPPORTED_TYPE, "no decoder for the sound track")
        stream.thread_type = "NONE"
        allowed = int(limits.duration_s * SAMPLE_RATE)
        pieces: list[NDArray[np.int16]] = []
        total = 0
        for piece in _resampled(_frames(container, stream, Deadline(limits.decode_s))):
            pieces.append(piece)
            total += len(piece)
            if total > allowed:
                raise MediaError(MediaFault.TOO_LONG, f"more than {limits.duration_s:g} s of sound")
    if not total:
        raise MediaError(MediaFault.EMPTY, "the sound track has no samples that can be decoded")
    return np.concatenate(pieces).astype(np.float32) / np.float32(32768)


def log_mel(wave: Wave) -> NDArray[np.float32]:
    """Compute Whisper's log-mel spectrogram (Radford et al. 2022, section 2.2), not padded to 30 s: [1, 80, T].

    T is even and rounded up to 32 frames (with silence), at most 3000. Of a longer wave the last 30 s are taken: what
    was said last is what the reply answers.
    """
    most = MOST_FRAMES * HOP
    wave = wave[-most:]
    frames = min(MOST_FRAMES, max(1, -(-len(wave) // (HOP * FRAME_QUANTUM))) * FRAME_QUANTUM)
    return _spectrogram(wave, frames)[None]


def transcriber_mel(wave: Wave) -> NDArray[np.float32]:
    """Compute the log-mel spectrogram of speech with 10 s of silence behind it: [80, T], T even, <= 3000.

    Raises `too_long` for more than 20 s of speech, because cutting it would drop words unseen: `split_speech` first.
    """
    if len(wave) > LONGEST_SPEECH_S * SAMPLE_RATE:
        raise MediaError(
            MediaFault.TOO_LONG, f"{len(wave) / SAMPLE_RATE:.1f} s of speech in one piece, at most {LONGEST_SPEECH_S:g}"
        )
    samples = len(wave) + int(TRANSCRIBER_SILENCE_S * SAMPLE_RATE)
    return _spectrogram(wave, min(MOST_FRAMES, 2 * -(-samples // (2 * HOP))))


def split_speech(wave: Wave, longest_s: float = LONGEST_SPEECH_S) -> list[Wave]:
    """Cut a wave into pieces of at most `longest_s`, where it is quietest in the last third of each piece."""
    longest = int(longest_s * SAMPLE_RATE)
    pieces = []
    while len(wave) > longest:
        begin = 2 * longest // 3
        blocks = (longest - begin) // HOP
        energy = np.square(wave[begin : begin + blocks * HOP]).reshape(blocks, HOP).sum(axis=1)
        smooth = np.convolve(energy, np.ones(20, np.float32), mode="same")  # 0.2 s: a pause, not a stop consonant
        cut = begin + (int(smooth.argmin()) * HOP + HOP // 2)
        pieces.append(wave[:cut])
        wave = wave[cut:]
    return [*pieces, wave]


def _frames(container: Any, stream: Any, deadline: Deadline) -> Iterator[Any]:
    for packet in packets(container, stream):
        deadline.check()
        try:
            frames = packet.decode()
        except DECODE_FAULTS:
            continue
        for frame in frames:
            if frame.sample_rate not in SOURCE_RATES or not 0 < len(frame.layout.channels) <= MOST_CHANNELS:
                raise MediaError(
                    MediaFault.UNSUPPORTED_TYPE,
                    f"{len(frame.layout.channels)} channels at {frame.sample_rate} Hz; "
                    f"accepted are up to {MOST_CHANNELS} at {SOURCE_RATES[0]} to {SOURCE_RATES[-1]} Hz",
                )
            yield frame


def _resampled(frames: Iterator[Any]) -> Iterator[NDArray[np.int16]]:
    """16-bit on purpose: for it FFmpeg's down-mix averages the channels and not-a-number cannot survive."""
    resampler, shape = None, None
    for frame in frames:
        frame.pts = None  # damaged time stamps must not make the resampler fill hours of gap with silence
        this = (frame.format.name, frame.layout.name, frame.sample_rate)
        if this != shape:  # chained streams may change rate or layout midway
            yield from _converted(resampler, None)
            resampler, shape = av.AudioResampler("s16", "mono", SAMPLE_RATE), this
        yield from _converted(resampler, frame)
    yield from _converted(resampler, None)


def _converted(resampler: Any, frame: Any) -> Iterator[NDArray[np.int16]]:
    if resampler is None:
        return
    try:
        pieces = [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
    except DECODE_FAULTS:
        return
    yield from pieces


def _spectrogram(wave: Wave, frames: int) -> NDArray[np.float32]:
    """[80, frames]; the wave is padded with silence to frames * 160 samples."""
    padded = np.pad(wave, (0, frames * HOP - len(wave)))
    padded = np.pad(padded, WINDOW // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:frames]
    power = np.square(np.abs(np.fft.rfft(windows * _hann(), axis=1)))
    mel = np.log10(np.maximum(_filters() @ power.T, 1e-10))
    scaled: NDArray[np.float32] = ((np.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0).astype(np.float32)
    return scaled


@cache
def _hann() -> NDArray[np.float32]:
    return np.hanning(WINDOW + 1)[:-1].astype(np.float32)


@cache
def _filters() -> NDArray[np.float32]:
    """Slaney's mel filter bank with area normalisation, [80, 201]: linear below 1 kHz, logarithmic above."""
    bins = np.linspace(0, SAMPLE_RATE / 2, WINDOW // 2 + 1)
    step, knee, knee_mel = np.log(6.4) / 27, 1000.0, 15.0
    top = knee_mel + np.log(SAMPLE_RATE / 2 / knee) / step
    mels = np.linspace(0, top, MELS + 2)
    edges = np.where(mels < knee_mel, mels * 200 / 3, knee * np.exp(step * (mels - knee_mel)))
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    area = 2 / (edges[2:] - edges[:-2])
    return (np.maximum(0, np.minimum(rising, falling)) * area[:, None]).astype(np.float32)
