"""Whatever is done to a file, decoding ends soon, in samples within the limits or in a `MediaError`."""

import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1]))
from media_files import clip, sound

from multimood.media import audio, video
from multimood.media.errors import MediaError
from multimood.media.limits import MediaLimits
from multimood.media.sniff import sniff

pytestmark = pytest.mark.property
LIMITS = MediaLimits(duration_s=5.0, width=256, height=256, frames=200, decode_s=3.0)
SLOWEST_S = 8.0

SOUNDS = [
    ("wav", "pcm_s16le", 16_000),
    ("flac", "flac", 16_000),
    ("mp3", "libmp3lame", 44_100),
    ("ogg", "libopus", 48_000),
    ("ipod", "aac", 44_100),
    ("webm", "libopus", 48_000),
    ("avi", "pcm_s16le", 16_000),
]
CLIPS = [("mp4", "mpeg4"), ("mp4", "libx264"), ("webm", "libvpx"), ("avi", "mjpeg"), ("mov", "mjpeg")]


@cache
def made_sound(container: str, codec: str, rate: int) -> bytes:
    return sound(container, codec, 0.5, rate)


@cache
def made_clip(container: str, codec: str) -> bytes:
    return clip(0.6, container=container, codec=codec)


@st.composite
def damage(draw, files):
    """A file with bytes overwritten, most often near its head; cut; with a part doubled; or with another's head."""
    data = bytearray(draw(files))
    for _ in range(draw(st.integers(0, 12))):
        at = draw(st.one_of(st.integers(0, min(400, len(data)) - 1), st.integers(0, len(data) - 1)))
        new = draw(
            st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"]))
        )
        data[at : at + len(new)] = new
    change = draw(st.sampled_from(["", "", "cut", "double", "head"]))
    at = draw(st.integers(0, len(data)))
    if change == "cut":
        del data[at:]
    elif change == "double":
        data[at:at] = data[at // 2 : at]
    elif change == "head":
        data[: min(at, 64)] = draw(files)[: min(at, 64)]
    return bytes(data)


fuzzing = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@fuzzing
@given(damage(st.sampled_from(SOUNDS).map(lambda made: made_sound(*made))))
def test_damaged_sound(data):
    begin = time.monotonic()
    try:
        wave = audio.decode(data, LIMITS)
    except MediaError:
        pass
    else:
        assert wave.dtype == np.float32
        assert 0 < len(wave) <= 5 * 16_000
        assert np.isfinite(wave).all()
        assert np.abs(wave).max() <= 1
        assert np.isfinite(audio.log_mel(wave)).all()
    assert time.monotonic() - begin < SLOWEST_S


@fuzzing
@given(damage(st.sampled_from(CLIPS).map(lambda made: made_clip(*made))))
def test_damaged_clips(data):
    begin = time.monotonic()
    try:
        frames = video.sample_frames(data, LIMITS)
    except MediaError:
        pass
    else:
        assert frames.dtype == np.uint8
        assert 1 <= len(frames) <= 16
        assert frames.shape[1:] == (448, 448, 3)
    assert time.monotonic() - begin < SLOWEST_S


@given(st.binary(max_size=200))
def test_random_bytes_are_sniffed_or_refused(data):
    try:
        found = sniff(data)
    except MediaError:
        return
    assert found.kinds


@given(seconds=st.floats(0.1, 12), most=st.integers(1, 16), fps=st.floats(0.5, 12))
@settings(max_examples=25, deadline=None)
def test_samples_are_few_ordered_and_reach_the_end(seconds, most, fps):
    frames = video.sample_frames(
        clip(seconds, rate=10, width=32, height=32), MediaLimits(), fps=fps, size=32, most=most
    )
    assert 1 <= len(frames) <= most
    red = frames[:, 30, 30, 0].astype(int)
    assert (np.diff(red) >= -3).all()
    gap = max(1 / fps, seconds / most, 0.1)
    assert red[-1] >= 250 * (1 - (gap + 0.2) / max(seconds, 0.2)) - 8


@given(st.integers(0, 70 * 16_000), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_split_speech_loses_nothing(samples, seed):
    wave = np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)
    pieces = audio.split_speech(wave)
    np.testing.assert_array_equal(np.concatenate(pieces), wave)
    assert all(len(piece) <= audio.LONGEST_SPEECH_S * 16_000 for piece in pieces)
    assert all(len(piece) > 0 for piece in pieces[:-1])
