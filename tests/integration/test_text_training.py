"""The text encoder as it is taught, in torch, beside the graph that is served; with the real weights."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the training environment: `make train-env`")
pytest.importorskip("onnxruntime", reason="needs the training environment: `make train-env`")

import torch
from tokenizers import Tokenizer

from multimood.graphs import text_encoder
from multimood.graphs.weights import Weights, read_safetensors
from multimood.local.places import checkout, installed
from multimood.training.encoders import open_graph
from multimood.training.runs import Run
from multimood.training.text.learn import Parts, Recipe, States, Teacher, principal
from multimood.training.text.network import Encoder
from multimood.training.text.utterances import Utterance

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

TEXTS = ("I lost my job today.", "What a lovely surprise!", "So?", "I do not know what to do any more, honestly.")


@pytest.fixture(scope="module")
def folder() -> Path:
    return installed(checkout() / ".tools" / "text_encoder" / "model.safetensors").parent


@pytest.fixture(scope="module")
def weights(folder: Path) -> Weights:
    return read_safetensors(folder / "model.safetensors")


def utterances() -> list[Utterance]:
    """Glad ones and sad ones."""
    said = [(f"I am so {word} {number}", label) for number in range(12) for word, label in (("glad", 5), ("sad", 1))]
    return [Utterance(text, "emotion", "meld", label, (1, 5), text, False) for text, label in said]


def test_what_was_taught_is_what_the_graph_computes(folder: Path, weights: Weights, tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = Encoder(weights, 64)
    for name, value in encoder.named_parameters():
        if name.endswith("up"):
            value.data = (torch.randn_like(value) * 0.01).half().float()
        else:
            value.data = value.data.half().float()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    rows = [tokenizer.encode(text).ids for text in TEXTS]
    with torch.inference_mode():
        found = [encoder.upper(encoder.lower(ids, mask), mask) for ids, mask in map(alone, rows)]
    vectors = torch.cat(found).numpy()
    mean, projection, _ = principal(np.random.default_rng(0).standard_normal((900, 768)).astype(np.float32), 384)
    adapter = {
        **{name: array.astype(np.float32) for name, array in encoder.changes().items()},
        "mean": mean,
        "projection": projection,
    }
    text_encoder.build(folder / "model.safetensors", adapter).save(tmp_path / "model.onnx")
    graph = open_graph(tmp_path / "model.onnx")
    expected = (vectors - mean) @ projection
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    for row, vector in zip(rows, expected, strict=True):
        (own,) = graph.run(None, {"input_ids": np.array([row]), "attention_mask": np.ones((1, len(row)), np.int64)})
        np.testing.assert_allclose(own[0], vector, atol=2e-3)


def alone(row: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([row]), torch.ones(1, len(row), dtype=torch.long)


def test_it_learns_and_goes_on_where_it_was_broken_off(folder: Path, weights: Weights, tmp_path: Path) -> None:
    rows = utterances()
    recipe = Recipe(epochs=4, batch=8, warm_up=2, looks=3, patience=9, tokens=16)
    parts = Parts(list(range(16)), list(range(16, 24)), [])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def teacher() -> Teacher:
        torch.manual_seed(0)
        encoder = Encoder(weights, 64)
        return Teacher(encoder, rows, States(encoder, tokenizer, rows, recipe.tokens), recipe)

    whole = teacher()
    whole.teach(Run(tmp_path / "whole", {}), parts, 0)
    assert whole.scores(parts.apart)["emotion meld"]["accuracy"] == 1

    class BreakingOff(Run):
        def note(self, **values: object) -> None:
            if values["step"] == values["of"]:
                raise KeyboardInterrupt
            super().note(**values)

    with pytest.raises(KeyboardInterrupt):
        teacher().teach(BreakingOff(tmp_path / "broken", {}), parts, 0)
    resumed = teacher()
    resumed.teach(Run(tmp_path / "broken", {}), parts, 0)
    np.testing.assert_allclose(resumed.vectors(parts.apart), whole.vectors(parts.apart), atol=1e-3)
