"""How well the empathy head does on EPITOME's validation part, beside always answering the most frequent level."""

from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="needs the `train` extra: uv pip install -e '.[train]'")
pytest.importorskip("onnxruntime", reason="needs the `train` extra: uv pip install -e '.[train]'")

from multimood.local.places import checkout
from multimood.training import empathy
from multimood.training.encoders import PLACES
from multimood.trust import EmpathyHead

pytestmark = [pytest.mark.evals, pytest.mark.timeout(600)]


def test_the_shipped_head_on_the_validation_part(labelled_data: Path) -> None:
    x, y, held = empathy.read_pairs(labelled_data, PLACES.below(checkout()), print)
    result = empathy.evaluate(EmpathyHead.load(), x[held], y[held], y[~held])
    for mechanism, least in zip(empathy.MECHANISMS, (0.60, 0.43, 0.58), strict=True):
        assert result[mechanism]["macro F1"] >= least
        assert result[mechanism]["macro F1"] > result[mechanism]["macro F1 of the majority"] + 0.15
