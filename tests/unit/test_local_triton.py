"""What the launcher of Triton refuses to start with, and what it asks a model to see whether it lives."""

import json
from pathlib import Path

import pytest

from multimood.errors import ConfigurationError
from multimood.local.places import checkout
from multimood.local.triton_http import canary_request
from multimood.local.triton_install import TritonInstall, models

pytestmark = pytest.mark.unit

FACTS = {"python": "3.11", "numpy": "1.26.4", "packages": "/p", "libpython": "", "openmp": "there"}


def test_an_environment_that_works_is_taken() -> None:
    install = TritonInstall.of(Path("/env"), {**FACTS, "libpython": "/lib/py"})
    assert (install.python, install.packages, install.libpython) == ("3.11", Path("/p"), "/lib/py")


@pytest.mark.parametrize(
    ("fact", "value", "why"),
    [
        ("numpy", "2.4.6", r"/env has numpy 2\.4\.6.* 1\.26"),
        ("libpython", None, "apt-get install libpython3.11"),
        ("openmp", None, "apt-get install libgomp1"),
    ],
)
def test_one_that_would_corrupt_tensors_or_hang_is_not(fact: str, value: str | None, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        TritonInstall.of(Path("/env"), {**FACTS, fact: value})


def repository(folder: Path, *files: str) -> Path:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder


def test_the_models_are_those_with_a_configuration_and_a_version(tmp_path: Path) -> None:
    folder = repository(
        tmp_path, "README.md", "b/config.pbtxt", "b/1/model.py", "a/config.pbtxt", "a/2/model.onnx", "fusion/1/card.md"
    )
    assert models(folder) == ["a", "b"]


@pytest.mark.parametrize("files", [("a/config.pbtxt",), ("a/config.pbtxt", "a/1/notes.txt"), ("README.md",)])
def test_a_model_that_set_up_has_not_built_is_named(tmp_path: Path, files: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match=r"/a has no model.onnx .*make setup|holds no models"):
        models(repository(tmp_path, *files))


def test_a_missing_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is missing: run `make setup`"):
        models(tmp_path / "nowhere")


def test_a_canary_is_the_smallest_request_that_fits() -> None:
    config = {
        "max_batch_size": 8,
        "input": [
            {"name": "mel", "data_type": "TYPE_FP32", "dims": ["80", "-1"]},
            {"name": "ids", "data_type": "TYPE_INT64", "dims": ["3"]},
            {"name": "messages", "data_type": "TYPE_STRING", "dims": ["1"]},
        ],
    }
    head, body = canary_request(config)
    sent = json.loads(head)["inputs"]
    assert [(one["name"], one["datatype"], one["shape"]) for one in sent] == [
        ("mel", "FP32", [1, 80, 2]),
        ("ids", "INT64", [1, 3]),
        ("messages", "BYTES", [1, 1]),
    ]
    sizes = [one["parameters"]["binary_data_size"] for one in sent]
    assert sizes == [80 * 2 * 4, 3 * 8, 4 + 2]
    assert len(body) == sum(sizes)
    assert body == bytes(80 * 2 * 4 + 3 * 8) + b"\x02\x00\x00\x00[]"


def test_without_batching_there_is_no_batch_dimension() -> None:
    head, _ = canary_request({"input": [{"name": "mel", "data_type": "TYPE_FP32", "dims": ["80", "-1"]}]})
    assert json.loads(head)["inputs"][0]["shape"] == [80, 2]


def test_no_model_has_a_queue_policy_or_leaves_its_device_to_chance() -> None:
    for config in (checkout() / "triton_models").glob("*/config.pbtxt"):
        text = config.read_text()
        assert "default_queue_policy" not in text, config
        assert "KIND_AUTO" in text, config
        assert f'name: "{config.parent.name}"' in text
