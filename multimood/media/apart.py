"""Decoding in processes of its own: whatever a file does to its decoder, it does it to no other file and no service."""

import asyncio
import contextlib
import fcntl
import json
import math
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from multimood.errors import UnavailableError
from multimood.media.audio import SAMPLE_RATE, Wave
from multimood.media.decoder import SPARE_S
from multimood.media.errors import MediaError, MediaFault
from multimood.media.limits import MediaLimits
from multimood.media.video import SIZE, Frames

PASSED_ON: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "TZ")
"""Of the environment. The rest, passwords among it, is none of a decoder's business."""
GRACE_S: Final = 1.0
"""A process that has closed its pipe ends in that time, and says how."""
PIPE: Final = 1 << 20
"""Room in the pipe: a dozen pictures are 7 MB, and in small pieces they would wake this process a hundred times."""
ATTEMPTS: Final = 2
"""A decoder may have been damaged by the file before, or ended by the kernel for want of memory elsewhere."""


class Decoders:
    """At most `count` files are decoded at once; processes are started when needed and used again."""

    def __init__(self, limits: MediaLimits, count: int) -> None:
        self.limits = limits
        self._turn = asyncio.Semaphore(count)
        self._idle: list[_Decoder] = []

    async def wave(self, data: bytes) -> Wave:
        """See `audio.decode`. What crashes its decoder is `corrupt`, what outlasts it `too_long`. Raises MediaError."""
        most = math.ceil(self.limits.duration_s * SAMPLE_RATE)
        return np.frombuffer(await self._run({"kind": "wave"}, data, (most,), 4), np.float32)

    async def frames(self, data: bytes, *, fps: float, most: int) -> Frames:
        """See `video.sample_frames` and `wave`. Raises MediaError."""
        shape = (most, SIZE, SIZE, 3)
        found = await self._run({"kind": "frames", "fps": fps, "most": most}, data, shape, 1)
        return np.frombuffer(found, np.uint8).reshape(-1, *shape[1:])

    async def close(self) -> None:
        """End the processes."""
        while self._idle:
            await self._idle.pop().end()

    async def _run(self, request: dict[str, Any], data: bytes, most: tuple[int, ...], item_bytes: int) -> bytes:
        if len(data) > self.limits.size_bytes:
            raise MediaError(MediaFault.TOO_LARGE, f"{len(data)} bytes, allowed are {self.limits.size_bytes}")
        async with self._turn:
            for _ in range(ATTEMPTS):
                decoder = self._idle.pop() if self._idle else await _Decoder.start(self.limits)
                try:
                    async with asyncio.timeout(self.limits.decode_s + 2 * SPARE_S):
                        head, body = await decoder.ask(request, data, most, item_bytes)
                except TimeoutError:
                    await decoder.end()
                    raise MediaError(
                        MediaFault.TOO_LONG, f"decoding took more than {self.limits.decode_s:g} s"
                    ) from None
                except Exception:  # noqa: BLE001 - it ended, or what it says is no answer
                    code = await decoder.end(GRACE_S)
                    continue
                except BaseException:  # left in the middle of an answer
                    await decoder.end()
                    raise
                self._idle.append(decoder)
                if "fault" in head:
                    raise MediaError(MediaFault(head["fault"]), str(head["detail"]))
                return body
        fault = MediaFault.TOO_LONG if code == -signal.SIGXCPU else MediaFault.CORRUPT
        raise MediaError(fault, f"its decoder ended with {code}, {ATTEMPTS} times")


class _Decoder:
    """One process, at one file at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, limits: MediaLimits) -> "_Decoder":
        """Start one. Raises UnavailableError when the machine has no room for it: that is not the file's fault."""
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "multimood.media.decoder", json.dumps(asdict(limits)),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
                env=environment | {"OPENBLAS_NUM_THREADS": "1"}, limit=1 << 20, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise UnavailableError(f"no decoder can be started: {error.strerror}") from None
        answers: Any = process._transport.get_pipe_transport(1)  # type: ignore[attr-defined]  # noqa: SLF001
        with contextlib.suppress(OSError):  # a user may have so many large pipes; a small one is slower
            fcntl.fcntl(answers.get_extra_info("pipe"), fcntl.F_SETPIPE_SZ, PIPE)
        return cls(process)

    async def ask(
        self, request: Mapping[str, Any], data: bytes, most: tuple[int, ...], item_bytes: int
    ) -> tuple[Mapping[str, Any], bytes]:
        """Send a file and read what became of it; nothing beyond what a sound decoder could answer is believed.

        Raises anything when there is no such answer.
        """
        to, answers = self._process.stdin, self._process.stdout
        assert to is not None
        assert answers is not None
        to.write(json.dumps({**request, "size": len(data)}).encode() + b"\n")
        to.write(data)
        await to.drain()
        head = json.loads(await answers.readuntil())
        if "fault" in head:
            MediaFault(head["fault"])
            return head, b""
        shape = head["shape"]
        if len(shape) != len(most) or not 0 < shape[0] <= most[0] or tuple(shape[1:]) != most[1:]:
            raise ValueError(shape)
        return head, await answers.readexactly(math.prod(shape) * item_bytes)

    async def end(self, grace_s: float = 0.0) -> int:
        """Kill it, unless it ends by itself within the grace; gives its exit code, -n for signal n."""
        try:
            return await asyncio.wait_for(self._process.wait(), grace_s)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.communicate()  # what it wrote must be taken away, or asyncio never sees it end
            return await self._process.wait()
