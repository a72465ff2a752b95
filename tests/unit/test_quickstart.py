"""What docs/quickstart-research.md lets people run, runs."""

import re
from pathlib import Path

import pytest
from experience_log import made_rows

from multimood.experience import SCHEMA
from multimood.experience.table import encode
from multimood.local.places import checkout

pytestmark = pytest.mark.unit

BLOCKS = re.findall(r"```python\n(.*?)```", (checkout() / "docs/quickstart-research.md").read_text(), re.DOTALL)


def test_the_estimate_of_the_quick_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "experience/v2/date=2026-09-21/reply-0-0.parquet"
    place.parent.mkdir(parents=True)
    place.write_bytes(encode(made_rows(40, 4), SCHEMA))
    code = BLOCKS[0]
    assert "/tmp/log" in code
    exec(compile(code.replace("/tmp/log", str(tmp_path)), "quickstart", "exec"), {})
    found = re.search(
        r"logged ([\d.]+), estimate ([\d.]+), 95 % ([\d.]+)\.\.([\d.]+), (\d+) of 160 turns", capsys.readouterr().out
    )
    assert found is not None
    logged, estimate, low, high, effective = map(float, found.groups())
    assert 0 < low <= estimate <= high < 1
    assert abs(estimate - logged) < 0.2, "the model's favourite is no better here: rewards depend on approval alone"
    assert 10 < effective < 160
