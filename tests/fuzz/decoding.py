"""What decoding makes of a hostile file: samples and pictures within the limits, or a typed refusal."""

import os
import random
from pathlib import Path

import numpy as np
from fuzz.files import case_of
from fuzz.outcome import FindingError

from multimood.media import audio, video
from multimood.media.errors import MediaError
from multimood.media.limits import MediaLimits
from multimood.media.sniff import identify

LIMITS = MediaLimits(decode_s=6.0)


def run_media(target: str, chance: random.Random) -> str:
    """Decode the file both ways; the input lies in $FUZZ_INPUT meanwhile, should this process not survive it."""
    data = case_of(target, chance)
    Path(os.environ["FUZZ_INPUT"]).write_bytes(data)
    ends = []
    for announced in ("audio", "video"):
        try:
            identify(data, announced)
        except MediaError as error:
            ends.append(f"refused: {error.reason}")
        try:
            ends.append(_sound(data) if announced == "audio" else _pictures(data))
        except MediaError as error:
            ends.append(f"refused: {error.reason}")
    return min(ends)


def _sound(data: bytes) -> str:
    wave = audio.decode(data, LIMITS)
    if wave.dtype != np.float32 or not 0 < len(wave) <= LIMITS.duration_s * audio.SAMPLE_RATE:
        raise FindingError(f"a wave of {wave.shape} {wave.dtype}")
    if not np.isfinite(wave).all() or np.abs(wave).max() > 1 or not np.isfinite(audio.log_mel(wave)).all():
        raise FindingError("a wave that is not within -1..1")
    return "decoded"


def _pictures(data: bytes) -> str:
    frames = video.sample_frames(data, LIMITS)
    if frames.dtype != np.uint8 or not 1 <= len(frames) <= 16 or frames.shape[1:] != (448, 448, 3):
        raise FindingError(f"frames of {frames.shape} {frames.dtype}")
    return "decoded"
