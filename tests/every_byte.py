"""Looking for something in every byte below a folder, through whatever compression it may lie in."""

import contextlib
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from kafka.record import MemoryRecords

MOST = 64 << 20
PIECE = 1 << 16
FRAMES = {b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4", b"\x1f\x8b\x08": "gzip"}


def where(folder: Path, wanted: bytes) -> list[str]:
    """Files that hold it: as it is, in UTF-16, in records of Kafka, or in any compressed frame that begins anywhere."""
    forms = [wanted]
    with contextlib.suppress(UnicodeDecodeError):
        forms += [wanted.decode().encode("utf-16-le"), wanted.decode().encode("utf-16-be")]
    found = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            if not file.stat().st_blocks:  # the broker makes files of 10 MiB in which nothing is written yet
                continue
            data = file.read_bytes()
        except FileNotFoundError:  # deleted since it was listed
            continue
        if any(form in text for text in readings(file, data) for form in forms):
            found.append(str(file.relative_to(folder)))
    return found


def readings(file: Path, data: bytes) -> Iterator[bytes]:
    yield data
    if file.suffix == ".log" and file.parent.name.startswith("multimood."):
        yield from _records(data)
    for magic, codec in FRAMES.items():
        at = data.find(magic)
        while at >= 0:
            yield _unpacked(data[at:], codec)
            at = data.find(magic, at + 1)


def _records(data: bytes) -> Iterator[bytes]:
    """The values of a segment's records, by the client's own parser, which undoes their compression."""
    records = MemoryRecords(data)
    while records.has_next():
        for record in records.next_batch():
            yield record.value or b""


def _unpacked(data: bytes, codec: str) -> bytes:
    """As much of a frame as can be unpacked: most places that look like one are none."""
    if codec == "gzip":
        try:
            return zlib.decompressobj(31).decompress(data, MOST)
        except zlib.error:
            return b""
    out = bytearray()
    for size in (PIECE, 1):  # a piece that reaches over the frame's end is an error: its bytes are taken one by one
        try:
            with pa.CompressedInputStream(io.BytesIO(data), codec) as stream:
                stream.read(len(out))
                while (piece := stream.read(size)) and len(out) < MOST:
                    out += piece
        except (pa.ArrowException, OSError):
            pass
    return bytes(out)
