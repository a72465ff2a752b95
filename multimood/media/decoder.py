"""The process in which untrusted files are decoded. It has what it needs: two pipes, some memory, a little time.

A demuxer of a few hundred bytes can ask for gigabytes, a decoder can crash or never return; here that costs one file.
Nothing can be opened once it has begun: no other file, no address. Started by `multimood.media.apart`; reads requests
(a line of JSON, then the file), answers each (a line of JSON, then the array).
"""

import io
import json
import os
import resource
import struct
import sys
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from multimood.media import audio, video
from multimood.media.errors import MediaError, MediaFault
from multimood.media.limits import MediaLimits

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEMORY: Final = 512 << 20
"""By so much the address space may grow over what the idle process has."""
SPARE_S: Final = 5.0
"""Processor time beyond what decoding may take: a step that does not look at its deadline ends with the process."""


def decode(request: dict[str, Any], data: bytes, limits: MediaLimits) -> tuple[dict[str, Any], bytes]:
    """Answer a request: `{"shape": ...}` and the array's bytes, or `{"fault": ..., "detail": ...}`."""
    try:
        array: NDArray[Any] = (
            audio.decode(data, limits)
            if request["kind"] == "wave"
            else video.sample_frames(data, limits, fps=request["fps"], most=request["most"])
        )
    except MediaError as error:
        return {"fault": error.reason, "detail": str(error).partition(": ")[2]}, b""
    except MemoryError:
        return {"fault": MediaFault.TOO_LARGE, "detail": f"needs more than {MEMORY >> 20} MiB to decode"}, b""
    return {"shape": array.shape}, np.ascontiguousarray(array).tobytes()


def confine() -> None:
    """Give up what is not needed, for good."""
    audio.decode(_wav(), MediaLimits())  # what is imported only when it is first used, is imported now
    with open("/proc/self/statm") as statm:  # noqa: PTH123 - the last file this process opens
        held = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def main() -> None:
    """Serve requests until the input ends."""
    limits = MediaLimits(**json.loads(sys.argv[1]))
    requests, answers = io.FileIO(0), os.fdopen(1, "wb")
    reader = io.BufferedReader(requests, 1 << 20)
    confine()
    while line := reader.readline():
        request = json.loads(line)
        _allow(limits.decode_s + SPARE_S)
        head, body = decode(request, reader.read(request["size"]), limits)
        answers.write(json.dumps(head).encode() + b"\n")
        answers.write(body)
        answers.flush()


def _allow(seconds: float) -> None:
    """From now on so much processor time; beyond it the kernel ends the process, also when nobody else is left."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    ends = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (ends, resource.RLIM_INFINITY))


def _wav() -> bytes:
    """A tenth of a second of silence."""
    samples = bytes(3200)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, audio.SAMPLE_RATE, 2 * audio.SAMPLE_RATE, 2, 16)
    data = struct.pack("<4sI", b"data", len(samples)) + samples
    return struct.pack("<4sI4s", b"RIFF", 4 + len(form) + len(data), b"WAVE") + form + data


if __name__ == "__main__":
    main()
