"""How well the zero-shot detector of values does on made-up sentences. Shows the figures with `-rP`."""

import asyncio
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the `train` extra: uv pip install -e '.[train]'")
pytest.importorskip("onnxruntime", reason="needs the `train` extra: uv pip install -e '.[train]'")

from multimood.local.places import checkout
from multimood.training.encoders import PLACES, embed_texts
from multimood.trust.values import VALUES, ValueDetector

pytestmark = [pytest.mark.evals, pytest.mark.timeout(600)]

SENTENCES = tomllib.loads((Path(__file__).parent / "values.toml").read_text(encoding="utf-8"))


def test_values_in_made_up_sentences() -> None:
    async def embed(texts: Sequence[str]) -> np.ndarray:
        return embed_texts(PLACES.below(checkout()), texts, print)

    told = [(text, value) for value, texts in SENTENCES.items() for text in texts]
    detector = ValueDetector.load(embed)
    near = asyncio.run(detector.cosines([text for text, _ in told]))
    found = asyncio.run(detector.find([text for text, _ in told]))
    about = [(row, sets, value) for row, sets, (_, value) in zip(near, found, told, strict=True) if value in VALUES]
    nearest = np.mean([VALUES[int(row.argmax())] == value for row, _, value in about])
    hits, all_found = sum(value in sets for _, sets, value in about), sum(map(len, found))
    small = sum(bool(sets) for sets, (_, value) in zip(found, told, strict=True) if value not in VALUES)
    sys.stdout.write(
        f"nearest {nearest:.3f} of {len(about)}, precision {hits}/{all_found}, recall {hits}/{len(about)}, "
        f"small talk with a value {small}\n"
    )
    assert nearest > 0.4, "a guess is right once in twenty"
    assert hits / all_found > 0.3
    assert hits / len(about) > 0.35
