"""A GGUF file (version 3 of llama.cpp's format), written with numpy alone: the tests' tiny models need no more."""

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

ALIGNMENT = 32
KINDS = {np.dtype(np.float32): 0, np.dtype(np.float16): 1}
UINT32, INT32, FLOAT32, STRING, ARRAY = 4, 5, 6, 8, 9

Value = int | float | str | list[str] | list[int]


def write_gguf(path: Path, says: Mapping[str, Value], tensors: Mapping[str, np.ndarray]) -> None:
    """Write what the file says (whole numbers as uint32, lists of them as int32) and its tensors, in this order."""
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(says))
    head += b"".join(_string(name) + _value(value) for name, value in says.items())
    data = b""
    for name, values in tensors.items():
        shape = values.shape[::-1]
        head += _string(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        head += struct.pack("<IQ", KINDS[values.dtype], len(data))
        data += _padded(values.tobytes())
    path.write_bytes(_padded(head) + data)


def _value(value: Value) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _string(value)
    if isinstance(value, float):
        return struct.pack("<If", FLOAT32, value)
    if isinstance(value, int):
        return struct.pack("<II", UINT32, value)
    kind = STRING if isinstance(value[0], str) else INT32
    items = b"".join(_string(one) if isinstance(one, str) else struct.pack("<i", one) for one in value)
    return struct.pack("<IIQ", ARRAY, kind, len(value)) + items


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % ALIGNMENT)
