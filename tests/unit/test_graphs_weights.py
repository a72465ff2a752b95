"""Weights as three kinds of packages carry them, read from small files made here."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from multimood.graphs.weights import WeightsError, package_file, read_ctranslate2, read_safetensors, read_tfjs

pytestmark = pytest.mark.unit

MATRIX = np.arange(6, dtype=np.float32).reshape(2, 3)


def safetensors(path: Path, header: dict[str, object], data: bytes) -> Path:
    head = json.dumps(header).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + data)
    return path


def test_safetensors_floats_are_read_and_integers_left_out(tmp_path: Path) -> None:
    data = MATRIX.tobytes() + MATRIX.astype("<f2").tobytes() + b"\x01" * 8
    header = {
        "__metadata__": {"format": "pt"},
        "full": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "half": {"dtype": "F16", "shape": [3, 2], "data_offsets": [24, 36]},
        "positions": {"dtype": "I64", "shape": [1], "data_offsets": [36, 44]},
    }
    weights = read_safetensors(safetensors(tmp_path / "model.safetensors", header, data))
    assert set(weights) == {"full", "half"}
    np.testing.assert_array_equal(weights["full"], MATRIX)
    np.testing.assert_array_equal(weights["half"], MATRIX.reshape(3, 2))
    assert weights["half"].dtype == np.float32


def test_a_cut_safetensors_file_is_named(tmp_path: Path) -> None:
    header = {"full": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
    file = safetensors(tmp_path / "model.safetensors", header, MATRIX.tobytes()[:20])
    with pytest.raises(WeightsError, match=r"model\.safetensors: full has 20 bytes, 24 expected"):
        read_safetensors(file)
    file.write_bytes(file.read_bytes()[:10])
    with pytest.raises(WeightsError, match="goes beyond the file's end"):
        read_safetensors(file)


def ctranslate2(variables: list[tuple[str, int, np.ndarray]], version: int = 6) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    out = struct.pack("<I", version) + text("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, code, array in variables:
        out += text(name) + struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        out += struct.pack("<BI", code, array.nbytes) + array.tobytes()
    return out + struct.pack("<I", 0)


def test_ctranslate2_floats_are_read_and_integers_left_out(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    scalar = np.array(7, np.int32)
    file.write_bytes(ctranslate2([("a/weight", 4, MATRIX.astype("<f2")), ("heads", 3, scalar), ("b", 0, MATRIX[0])]))
    weights = read_ctranslate2(file)
    assert set(weights) == {"a/weight", "b"}
    np.testing.assert_array_equal(weights["a/weight"], MATRIX)
    np.testing.assert_array_equal(weights["b"], MATRIX[0])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (ctranslate2([], version=7), "format 7, expected 6"),
        (ctranslate2([("a", 0, MATRIX)])[:-20], "ends within a tensor"),
        (ctranslate2([("a", 9, MATRIX)]), "unknown dtype 9"),
    ],
)
def test_another_ctranslate2_format_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=why):
        read_ctranslate2(file)


def tfjs(folder: Path, weights: list[dict[str, object]], data: bytes) -> Path:
    manifest = [{"paths": ["one.bin", "two.bin"], "weights": weights}]
    (folder / "net-weights_manifest.json").write_text(json.dumps(manifest))
    (folder / "one.bin").write_bytes(data[:5])
    (folder / "two.bin").write_bytes(data[5:])
    return folder


def test_tfjs_filters_are_dequantised_and_turned(tmp_path: Path) -> None:
    filters = np.arange(24, dtype=np.uint8).reshape(1, 2, 3, 4)  # h, w, in, out
    depthwise = np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1)  # h, w, channel, 1
    coding = {"dtype": "uint8", "scale": 0.5, "min": -1.0}
    entries = [
        {"name": "conv/filters", "shape": [1, 2, 3, 4], "dtype": "float32", "quantization": coding},
        {"name": "conv/depthwise_filter", "shape": [1, 2, 3, 1], "dtype": "float32", "quantization": coding},
        {"name": "conv/bias", "shape": [3], "dtype": "float32"},
    ]
    data = filters.tobytes() + depthwise.tobytes() + MATRIX[0].tobytes()
    weights = read_tfjs(tfjs(tmp_path, entries, data), "net")
    assert weights["conv/filters"].shape == (4, 3, 1, 2)
    assert weights["conv/filters"][3, 2, 0, 1] == filters[0, 1, 2, 3] * 0.5 - 1
    assert weights["conv/depthwise_filter"].shape == (3, 1, 1, 2)
    assert weights["conv/depthwise_filter"][2, 0, 0, 1] == depthwise[0, 1, 2, 0] * 0.5 - 1
    np.testing.assert_array_equal(weights["conv/bias"], MATRIX[0])


def test_tfjs_shards_that_hold_more_than_the_manifest_are_refused(tmp_path: Path) -> None:
    entries = [{"name": "bias", "shape": [3], "dtype": "float32"}]
    with pytest.raises(WeightsError, match="16 bytes in the shards, 12 in the manifest"):
        read_tfjs(tfjs(tmp_path, entries, bytes(16)), "net")


def test_a_package_that_is_not_there_is_named() -> None:
    with pytest.raises(WeightsError, match="model/nothing of the package json is not installed"):
        package_file("json", "model/nothing")
    with pytest.raises(WeightsError, match="of the package no_such_package is not installed"):
        package_file("no_such_package", "model.bin")
