"""The ONNX graphs as ONNX Runtime runs them, in the environment of the server that serves them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multimood.local.places import checkout, installed

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    python = installed(checkout() / ".venv-triton" / "bin" / "python")
    script = Path(__file__).with_name("graph_checks.py")
    done = subprocess.run([python, script], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout))


def test_a_small_graph_computes_what_it_says(found: dict[str, Any]) -> None:
    assert found["small_graph"] < 1e-6


def test_a_graph_is_the_same_file_each_time(found: dict[str, Any]) -> None:
    assert found["same_bytes_each_time"]


def test_a_graph_whose_shapes_do_not_fit_is_refused_and_nothing_is_written(found: dict[str, Any]) -> None:
    assert found["a_wrong_graph_is_refused"] == "InferenceError 0"


def test_attention_is_that_of_the_paper(found: dict[str, Any]) -> None:
    assert found["attention"] < 1e-5


def test_the_text_encoder_is_the_formula(found: dict[str, Any]) -> None:
    assert found["text"]["against the formula"] < 1e-4
    np.testing.assert_allclose(found["text"]["lengths"], 1, atol=1e-6)
    assert np.max(found["text"]["alike"] - np.eye(3)) < 0.95, "different texts have different vectors"


def test_padding_says_nothing(found: dict[str, Any]) -> None:
    assert found["text"]["padding changes"] < 1e-6


def test_the_audio_encoder_agrees_with_ctranslate2(found: dict[str, Any]) -> None:
    assert found["audio"]["shapes"] == [[1, 4, 768], [1, 256]]
    assert found["audio"]["against ctranslate2"] < 2e-3
    assert found["audio"]["layers differ"] > 0.1
    assert found["audio"]["batch changes"] < 1e-4


def test_the_adapter_in_the_graph_is_the_one_in_numpy(found: dict[str, Any]) -> None:
    assert found["adapter"] < 1e-4
    assert found["audio"]["adapter in numpy"] < 1e-3


def test_where_there_is_no_face_all_is_zero_and_finite(found: dict[str, Any]) -> None:
    video = found["video"]
    assert video["shapes"] == [[4, 5], [4, 256], [4, 7]]
    assert video["labels"] == 7
    assert video["finite"]
    assert video["faces"] == 0
    assert video["rest of rows without"] == 0
