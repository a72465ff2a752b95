"""Reading weights in the three formats they come in, each to a mapping from name to float32 array.

All raise WeightsError when the file is not what its format promises.
"""

import importlib.util
import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Weights = Mapping[str, Array]

_SAFETENSORS_DTYPES: Final = MappingProxyType({"F32": "<f4", "F16": "<f2"})
_CTRANSLATE2_VERSION: Final = 6
_CTRANSLATE2_DTYPES: Final = MappingProxyType({0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"})


class WeightsError(Exception):
    """A file of weights that cannot be read; the message says what was expected of it."""


def package_file(package: str, path: str) -> Path:
    """Find a file inside an installed package without importing it. Raises WeightsError when it is not there."""
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        if (Path(folder) / path).is_file():
            return Path(folder) / path
    raise WeightsError(f"{path} of the package {package} is not installed: run `make setup`")


def read_safetensors(path: Path) -> Weights:
    """Read a .safetensors file: the length of a JSON header, the header, the bytes. Integer tensors are left out."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    if 8 + size > len(data):
        raise WeightsError(f"{path}: the header of {size} bytes goes beyond the file's end")
    header = json.loads(data[8 : 8 + size])
    weights = {}
    for name, entry in header.items():
        dtype = _SAFETENSORS_DTYPES.get(entry.get("dtype"))
        if dtype is None:  # integers, and the entry with the file's metadata
            continue
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        weights[name] = _array(path, name, data[begin:end], dtype, entry["shape"])
    return weights


def read_ctranslate2(path: Path) -> Weights:
    """Read the float tensors of a CTranslate2 `model.bin` (format 6).

    It holds version, name and revision of the specification; then each variable's name, dimensions, dtype and bytes.
    """
    file = _Binary(path)
    version = file.number("I")
    if version != _CTRANSLATE2_VERSION:
        raise WeightsError(f"{path}: format {version}, expected {_CTRANSLATE2_VERSION}")
    file.text()
    file.number("I")
    weights = {}
    for _ in range(file.number("I")):
        name = file.text()
        shape = [file.number("I") for _ in range(file.number("B"))]
        code = file.number("B")
        data = file.take(file.number("I"))
        dtype = _CTRANSLATE2_DTYPES.get(code)
        if dtype is None:
            raise WeightsError(f"{path}: {name} has the unknown dtype {code}")
        if np.dtype(dtype).kind == "f":
            weights[name] = _array(path, name, data, dtype, shape)
    return weights


def read_tfjs(folder: Path, net: str) -> Weights:
    """Read `<net>-weights_manifest.json` and its shards, undoing the 8-bit quantisation (value * scale + min).

    Filters come as TensorFlow keeps them, [h, w, in, out] ([h, w, channel, 1] when depthwise), and are given as
    ONNX wants them: [out, in, h, w] ([channel, 1, h, w]).
    """
    manifest = json.loads((folder / f"{net}-weights_manifest.json").read_text())
    weights = {}
    for group in manifest:
        data = b"".join((folder / shard).read_bytes() for shard in group["paths"])
        begin = 0
        for entry in group["weights"]:
            coding = entry.get("quantization", {})
            dtype = np.dtype(coding.get("dtype", "float32")).newbyteorder("<")
            end = begin + math.prod(entry["shape"]) * dtype.itemsize
            stored = _array(folder / net, entry["name"], data[begin:end], dtype, entry["shape"])
            value = stored * np.float32(coding.get("scale", 1)) + np.float32(coding.get("min", 0))
            if value.ndim == 4:  # noqa: PLR2004 - a filter
                value = value.transpose(2, 3, 0, 1) if "depthwise" in entry["name"] else value.transpose(3, 2, 0, 1)
            weights[entry["name"]] = value
            begin = end
        if begin != len(data):
            raise WeightsError(f"{folder / net}: {len(data)} bytes in the shards, {begin} in the manifest")
    return weights


class _Binary:
    """A little-endian binary file, read from front to back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data = memoryview(path.read_bytes())
        self._at = 0

    def take(self, size: int) -> bytes:
        if self._at + size > len(self._data):
            raise WeightsError(f"{self._path} ends within a tensor, at byte {len(self._data)}")
        piece = bytes(self._data[self._at : self._at + size])
        self._at += size
        return piece

    def number(self, code: str) -> int:
        (value,) = struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))
        return int(value)

    def text(self) -> str:
        return self.take(self.number("H")).rstrip(b"\0").decode()


def _array(path: Path, name: str, data: bytes, dtype: Any, shape: list[int]) -> Array:
    expected = math.prod(shape) * np.dtype(dtype).itemsize
    if len(data) != expected:
        raise WeightsError(f"{path}: {name} has {len(data)} bytes, {expected} expected for {shape}")
    return np.frombuffer(data, dtype).reshape(shape).astype(np.float32)
