"""Decoding in processes of its own: the same result, and whatever a file does there, a typed refusal here."""

import asyncio
import errno
import io
import json
import random
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import av
import av.error
import media_files
import numpy as np
import pytest
from fuzz import files

from multimood.errors import UnavailableError
from multimood.media import apart, audio, container, decoder, video
from multimood.media.apart import Decoders
from multimood.media.errors import MediaError, MediaFault
from multimood.media.limits import MediaLimits

pytestmark = pytest.mark.unit
WAV = media_files.sound("wav", "pcm_s16le", 0.3)
LIMITS = MediaLimits(decode_s=5.0)


@pytest.fixture
async def decoders() -> AsyncIterator[Decoders]:
    made = Decoders(LIMITS, 1)
    yield made
    await made.close()


async def refusal(decoders: Decoders, data: bytes) -> MediaFault:
    with pytest.raises(MediaError) as caught:
        await decoders.wave(data)
    return caught.value.reason


def process_of(decoders: Decoders) -> asyncio.subprocess.Process:
    (idle,) = decoders._idle
    return idle._process


async def test_every_kind_decodes_to_the_same_as_in_this_process(decoders: Decoders) -> None:
    for name in files.SOUNDS:
        data = files.honest(name)
        np.testing.assert_array_equal(await decoders.wave(data), audio.decode(data, LIMITS), err_msg=name)
    for name in files.CLIPS:
        data = files.honest(name)
        mine = video.sample_frames(data, LIMITS, fps=3.0, most=12)
        np.testing.assert_array_equal(await decoders.frames(data, fps=3.0, most=12), mine, err_msg=name)


async def test_one_process_serves_many_files_and_is_gone_after_close(decoders: Decoders) -> None:
    await decoders.wave(WAV)
    first = process_of(decoders)
    assert await refusal(decoders, b"no media at all") == MediaFault.UNSUPPORTED_TYPE
    await decoders.wave(WAV)
    assert process_of(decoders) is first
    await decoders.close()
    assert first.returncode == -signal.SIGKILL


async def test_a_file_over_the_limit_reaches_no_decoder() -> None:
    decoders = Decoders(MediaLimits(size_bytes=10), 1)
    assert await refusal(decoders, WAV) == MediaFault.TOO_LARGE
    assert decoders._idle == []


def told_of(process: asyncio.subprocess.Process, what: str) -> bytes:
    return Path(f"/proc/{process.pid}/{what}").read_bytes()


def index_of_gigabytes() -> bytes:
    """An MP4 of a few kilobytes whose index has a hundred million entries of 24 bytes."""
    data = bytearray(files.honest("mp4_mpeg4"))
    at = data.index(b"stsz") + 8
    data[at : at + 8] = struct.pack(">II", 1, 10**8)
    at = data.index(b"stts") + 8
    data[at : at + 12] = struct.pack(">III", 1, 10**8, 1)
    at = data.index(b"stsc") + 8
    data[at : at + 16] = struct.pack(">IIII", 1, 1, 10**8, 1)
    return bytes(data)


@pytest.mark.slow
async def test_an_index_of_gigabytes_is_refused_within_the_decoders_memory(decoders: Decoders) -> None:
    """In this process the same file took 2.3 GB."""
    data = index_of_gigabytes()
    assert len(data) < 20_000
    await decoders.wave(WAV)
    process = process_of(decoders)
    with pytest.raises(MediaError) as caught:
        await decoders.frames(data, fps=3.0, most=12)
    assert caught.value.reason in {MediaFault.CORRUPT, MediaFault.EMPTY, MediaFault.TOO_LARGE}
    peak = next(line for line in told_of(process, "status").splitlines() if line.startswith(b"VmHWM"))
    assert int(peak.split()[1]) < (decoder.MEMORY >> 10) + 200_000
    assert len(await decoders.wave(WAV)) > 0


@pytest.mark.parametrize("built", [files.many_samples, files.compressed_head, files.many_atoms, files.huge_tables])
async def test_bombs_cost_a_refusal(decoders: Decoders, built: Callable[[random.Random], bytes]) -> None:
    for seed in range(3):
        data = built(random.Random(seed))
        assert len(data) < MediaLimits().size_bytes
        for step in (decoders.wave(data), decoders.frames(data, fps=4.0, most=12)):
            try:
                found = await step
            except MediaError as error:
                assert error.reason in MediaFault  # noqa: PT017
            else:
                assert found.nbytes <= 60 * 16_000 * 4


async def test_hours_of_silence_in_kilobytes_are_too_long(decoders: Decoders) -> None:
    silence = media_files.sound("flac", "flac", 61.0)
    assert await refusal(decoders, silence) == MediaFault.TOO_LONG


def test_pictures_that_grow_on_the_way_are_refused_or_left_out() -> None:
    limits = MediaLimits(width=640, height=640)
    with pytest.raises(MediaError) as caught:
        video.sample_frames(files.grown(1904, 64), limits)
    assert caught.value.reason == MediaFault.RESOLUTION
    found = video.sample_frames(files.grown(1904, 1904), limits)
    assert not found[:, 336:].any(), "only the small ones, which fill three quarters of a square"


class Scripted(apart._Decoder):
    """A decoder that does as its program says instead."""

    program = ""

    @classmethod
    async def start(cls, limits: MediaLimits) -> "Scripted":
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", cls.program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
        )


ANSWERS = "import os,sys,json,time; line=sys.stdin.buffer.readline(); out=sys.stdout.buffer;"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "fault"),
    [
        ("import os; os.abort()", MediaFault.CORRUPT),
        ("import os,signal; os.kill(os.getpid(), signal.SIGSEGV)", MediaFault.CORRUPT),
        ("import os,signal; os.kill(os.getpid(), signal.SIGXCPU)", MediaFault.TOO_LONG),
        (ANSWERS + "out.write(b'no json\\n')", MediaFault.CORRUPT),
        (ANSWERS + "out.write(b'[1, 2]\\n')", MediaFault.CORRUPT),
        (ANSWERS + "out.write(b'x' * (3 << 20))", MediaFault.CORRUPT),
        (ANSWERS + "out.write(b'[' * 100000 + b'\\n')", MediaFault.CORRUPT),
        (ANSWERS + "out.write(json.dumps({'fault': 'something new'}).encode() + b'\\n')", MediaFault.CORRUPT),
        (ANSWERS + "out.write(json.dumps({'shape': [10**9]}).encode() + b'\\n')", MediaFault.CORRUPT),
        (ANSWERS + "out.write(json.dumps({'shape': ['a']}).encode() + b'\\n')", MediaFault.CORRUPT),
        (ANSWERS + "out.write(json.dumps({'shape': [100]}).encode() + b'\\nshort')", MediaFault.CORRUPT),
        ("import time; time.sleep(60)", MediaFault.TOO_LONG),
    ],
)
async def test_whatever_a_decoder_does_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, program: str, fault: MediaFault
) -> None:
    monkeypatch.setattr(Scripted, "program", program)
    monkeypatch.setattr(apart, "_Decoder", Scripted)
    monkeypatch.setattr(apart, "SPARE_S", 0.1)
    decoders = Decoders(MediaLimits(decode_s=0.5), 1)
    assert await refusal(decoders, WAV) == fault
    assert decoders._idle == [], "it is not used again"


async def test_a_decoder_that_died_before_costs_the_next_file_nothing(decoders: Decoders) -> None:
    await decoders.wave(WAV)
    process_of(decoders).kill()
    assert len(await decoders.wave(WAV)) > 0


async def test_who_leaves_in_the_middle_leaves_no_decoder_that_still_answers_him(decoders: Decoders) -> None:
    await decoders.wave(WAV)
    process = process_of(decoders)
    task = asyncio.create_task(decoders.wave(media_files.sound("flac", "flac", 50.0)))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert process.returncode is not None
    assert len(await decoders.wave(WAV)) > 0


# --- what the process may do -----------------------------------------------------------------------------------------

CONFINED = """
import os, socket
from multimood.media import decoder
decoder.confine()
for what in (lambda: open("/etc/hostname"), socket.socket, os.pipe, lambda: bytearray(2 << 30)):
    try:
        what()
    except (OSError, MemoryError) as error:
        print(type(error).__name__)
    else:
        print("could")
"""


def test_it_can_open_nothing_and_take_no_more_memory() -> None:
    done = subprocess.run([sys.executable, "-c", CONFINED], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["OSError", "OSError", "OSError", "MemoryError"]


async def test_it_knows_nothing_of_our_passwords(decoders: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIMOOD_STORE_SECRET_KEY", "a password")
    await decoders.wave(WAV)
    environment = told_of(process_of(decoders), "environ")
    assert b"a password" not in environment
    assert b"MULTIMOOD" not in environment


def test_it_ends_with_its_parent() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "multimood.media.decoder", json.dumps({"decode_s": 5.0})], stdin=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=60) == 0


# --- nothing but the file itself is ever read ------------------------------------------------------------------------


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(0.05)
        yield made


def is_called(listener: socket.socket) -> bool:
    try:
        connection, _ = listener.accept()
    except TimeoutError:
        return False
    connection.close()
    return True


def test_a_demuxer_that_follows_references_is_refused_them(listener: socket.socket) -> None:
    """No playlist gets a demuxer of its own (`sniff`); were one to, it could still open nothing."""
    place = f"http://127.0.0.1:{listener.getsockname()[1]}/a.ts"
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{place}\n#EXT-X-ENDLIST\n".encode()

    def open_it(**options: object) -> None:
        with pytest.raises((av.error.FFmpegError, PermissionError, OSError)):
            av.open(io.BytesIO(playlist), "r", format="hls", timeout=0.5, **options)

    open_it(io_open=container._refuse)
    assert not is_called(listener)
    open_it()
    assert is_called(listener), "else this test could not tell"


@pytest.mark.parametrize("name", ["mov_alac", "mov_mjpeg", "mp4_mpeg4", "m4a"])
def test_a_movie_whose_data_lie_elsewhere_opens_no_other_file(
    name: str, tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, where nothing but our own refusal stands between the demuxer and the file."""
    movie = files.honest(name)
    (tmp_path / "other.mov").write_bytes(movie)
    asked: list[str] = []
    monkeypatch.setattr(container, "_refuse", lambda url, *_: asked.append(url))
    decode = audio.decode if name in files.SOUNDS else video.sample_frames
    assert len(decode(movie, LIMITS)) > 0
    for place in (
        f"{tmp_path}/other.mov",
        f"file:{tmp_path}/other.mov",
        f"http://127.0.0.1:{listener.getsockname()[1]}/a",
    ):
        without = files.outside_data(movie, place.encode())
        at = without.index(b"mdat") + 4
        size = int.from_bytes(without[at - 8 : at - 4])
        without = without[:at] + bytes(size - 8) + without[at + size - 8 :]
        try:
            found = decode(without, LIMITS)
        except MediaError as error:
            assert error.reason in {MediaFault.CORRUPT, MediaFault.EMPTY, MediaFault.UNSUPPORTED_TYPE}  # noqa: PT017
        else:
            assert not found.any(), "there is nothing in this file but silence"
    assert asked == [], "it does not even ask"
    assert not is_called(listener)


async def test_a_machine_without_room_for_a_decoder_is_no_fault_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_room(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", no_room)
    with pytest.raises(UnavailableError, match="Resource temporarily unavailable") as refused:
        await Decoders(LIMITS, 1).wave(files.honest("wav"))
    assert refused.value.retryable
