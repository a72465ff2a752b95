"""What the encoders' decoders make of a hostile file: samples and pictures within the limits, or a typed refusal."""

import asyncio
import os
import random
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from fuzz.files import case_of
from fuzz.outcome import FindingError

from multimood.media import audio
from multimood.media.apart import Decoders
from multimood.media.errors import MediaError
from multimood.media.limits import MediaLimits
from multimood.media.sniff import identify

LIMITS = MediaLimits(decode_s=6.0)
CONTAINED = re.compile(r"its decoder ended with (-?\d+)")


class Media:
    """Runs cases through `Decoders`, as the encoders do; measures the process that decodes."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._decoders = Decoders(LIMITS, 1)

    def run(self, target: str, chance: random.Random) -> tuple[str, float]:
        """Decode a file both ways; it lies in $FUZZ_INPUT meanwhile. Gives the end and the decoder's peak in MiB."""
        data = case_of(target, chance)
        Path(os.environ["FUZZ_INPUT"]).write_bytes(data)
        found = [self._loop.run_until_complete(self._one(data, step)) for step in (self._sound, self._pictures)]
        return min(end for end, _ in found), max(peak for _, peak in found)

    async def _one(self, data: bytes, step: Callable[[bytes], Awaitable[str]]) -> tuple[str, float]:
        held = self._memory(begin=True)
        try:
            end = await step(data)
        except MediaError as error:
            crash = CONTAINED.search(str(error))
            end = f"contained: decoder ended with {crash[1]}" if crash else f"refused: {error.reason}"
        return end, max(0.0, self._memory(begin=False) - held)

    def _memory(self, *, begin: bool) -> float:
        """MiB that the idle decoder holds, or held at most since the beginning."""
        if not self._decoders._idle:  # the first file, or one that ended its decoder
            return 0.0
        place = Path(f"/proc/{self._decoders._idle[0]._process.pid}")
        if begin:
            (place / "clear_refs").write_text("5")
        found = re.search(rf"{'VmRSS' if begin else 'VmHWM'}:\s+(\d+)", (place / "status").read_text())
        return int(found[1]) / 1024 if found else 0.0

    async def _sound(self, data: bytes) -> str:
        with suppress(MediaError):  # the gateway's affair; the encoders ask nobody
            identify(data, "audio")
        wave = await self._decoders.wave(data)
        if wave.dtype != np.float32 or not 0 < len(wave) <= LIMITS.duration_s * audio.SAMPLE_RATE:
            raise FindingError(f"a wave of {wave.shape} {wave.dtype}")
        if not np.isfinite(wave).all() or np.abs(wave).max() > 1 or not np.isfinite(audio.log_mel(wave)).all():
            raise FindingError("a wave that is not within -1..1")
        return "decoded"

    async def _pictures(self, data: bytes) -> str:
        with suppress(MediaError):
            identify(data, "video")
        frames = await self._decoders.frames(data, fps=4.0, most=12)
        if frames.dtype != np.uint8 or not 1 <= len(frames) <= 12 or frames.shape[1:] != (448, 448, 3):
            raise FindingError(f"frames of {frames.shape} {frames.dtype}")
        return "decoded"
