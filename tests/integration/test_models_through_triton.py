"""The benchmark of the models, small, on the real server."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import models

pytestmark = pytest.mark.integration


def test_a_model_is_measured_through_triton(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "models.json"
    monkeypatch.setattr(sys, "argv", ["models", "--quick", "--only", "fusion", "--json", str(target)])
    models.main()
    (found,) = json.loads(target.read_text())["models"]
    assert (found["model"], len(found["sha256"])) == ("fusion", 64)
    assert [(row["batch"], row["requests"] * row["rows"]) for row in found["batches"]] == [(1, 1), (8, 8), (32, 32)]
    assert 0 < found["before_mb"] < found["loaded_mb"]
    for row in found["batches"]:
        assert 0 < row["p50_ms"] <= row["p95_ms"]
        assert row["repeats"] >= models.QUICK.least
        assert row["per_s"] > 0
        assert row["peak_mb"] > found["before_mb"]
