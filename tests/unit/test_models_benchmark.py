"""What the benchmark of the models sends, made of their configurations."""

import numpy as np
import pytest

from benchmarks import models

pytestmark = pytest.mark.unit


def config(most: int, *inputs: tuple[str, str, list[int]]) -> dict:
    """As Triton gives it."""
    tensors = [{"name": name, "data_type": kind, "dims": dims} for name, kind, dims in inputs]
    return {"name": "a_model", "max_batch_size": most, "input": tensors}


TEXT = config(32, ("input_ids", "TYPE_INT64", [-1]), ("attention_mask", "TYPE_INT64", [-1]))
SOUND = config(4, ("mel", "TYPE_FP32", [80, -1]))
FILM = config(16, ("frames", "TYPE_UINT8", [448, 448, 3]))
ALONE = config(0, ("text", "TYPE_FP16", [384]))


@pytest.mark.parametrize(
    ("about", "batch", "sizes"),
    [
        (TEXT, 1, [1]),
        (TEXT, 32, [32]),
        (SOUND, 1, [1]),
        (SOUND, 8, [4, 4]),
        (config(6, ("mel", "TYPE_FP32", [80, -1])), 8, [6, 2]),
        (FILM, 1, [12]),
        (FILM, 2, [12, 12]),
        (config(32, ("frames", "TYPE_UINT8", [4, 4, 3])), 3, [24, 12]),
    ],
)
def test_a_batch_goes_in_as_few_requests_as_the_model_allows(about: dict, batch: int, sizes: list[int]) -> None:
    sent = models.requests(about, batch)
    assert [len(next(iter(one.values()))) for one in sent] == sizes
    assert models.rows_of(about, sent) == max(sizes)


def test_inputs_are_as_long_as_usual_and_of_the_right_kind() -> None:
    (text,) = models.requests(TEXT, 2)
    assert {name: (one.shape, one.dtype) for name, one in text.items()} == {
        "input_ids": ((2, 32), np.int64), "attention_mask": ((2, 32), np.int64),
    }  # fmt: skip
    assert models.requests(SOUND, 1)[0]["mel"].shape == (1, 80, 300)
    assert models.requests(FILM, 1)[0]["frames"].dtype == np.uint8


def test_a_model_without_batches_gets_one_row_a_request() -> None:
    sent = models.requests(ALONE, 3)
    assert [one["text"].shape for one in sent] == [(384,)] * 3
    assert sent[0]["text"].dtype == np.float16
    assert models.rows_of(ALONE, sent) == 1


def test_an_input_of_unknown_length_is_named() -> None:
    with pytest.raises(RuntimeError, match=r"a_model: wave is \[-1\]: say in LENGTHS how long it usually is"):
        models.requests(config(4, ("wave", "TYPE_FP32", [-1])), 1)
