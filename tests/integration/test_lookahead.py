"""The look-ahead reward of a log by the served text encoder, in each command that takes it. All words are made up."""

import json
from pathlib import Path
from typing import Any

import pytest
from experience_log import made_rows
from typer.testing import CliRunner

from multimood.cli import app
from multimood.experience import SCHEMA
from multimood.experience.exports.obp import load_bandit_feedback
from multimood.experience.table import encode
from multimood.local.server import Server
from multimood.trust.ahead import TOGETHER

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

CARES = "I care deeply for my family and friends."
ROWS = made_rows(40, 3)


def spoken(row: dict[str, Any]) -> dict[str, Any]:
    """The second turn of every conversation names a value; what was said in the last one of the first is not there."""
    said = row["dialogue"][-1] | ({"text": CARES} if row["step"] == 1 else {})
    silent = row["step"] == 2 and row["conversation_id"] == ROWS[0]["conversation_id"]
    return row | {"dialogue": None if silent else [*row["dialogue"][:-1], said]}


@pytest.fixture
def log(tmp_path: Path) -> str:
    place = tmp_path / "log/experience/v2/date=2026-09-21/reply-0-0.parquet"
    place.parent.mkdir(parents=True)
    place.write_bytes(encode([spoken(row) for row in ROWS], SCHEMA))
    return str(tmp_path / "log")


def run(*arguments: str) -> Any:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result


def test_every_command_has_the_same_rewards_and_tells_their_version(log: str, tmp_path: Path, triton: Server) -> None:
    url = triton.url  # type: ignore[attr-defined]
    lines = tmp_path / "values.jsonl"
    told = json.loads(run("experience", "values", log, "--triton", url, "--out", str(lines)).stdout.splitlines()[-1])
    assert len(ROWS) > TOGETHER
    assert (told["turns"], told["judged"]) == (120, 118)
    assert told["version"].startswith("lookahead-1+values-")
    by_row = {one["row_id"]: one["lookahead"] for one in map(json.loads, lines.read_text().splitlines())}
    first = [row for row in ROWS if row["step"] == 0]
    assert by_row[first[0]["row_id"]] is None, "a turn within the horizon cannot be judged"
    assert all(by_row[row["row_id"]] >= 1.0 for row in first[1:]), "what follows names a value"
    assert by_row[ROWS[2]["row_id"]] == 0.0, "nothing follows"

    out = tmp_path / "obp"
    done = json.loads(
        run("experience", "export", log, "--to", "obp", "--out", str(out), "--reward", "lookahead", "--triton", url,
            "--json").stdout.splitlines()[-1]
    )  # fmt: skip
    assert done["left_out"] == {"no lookahead": 2}
    assert done["reward"] == f"lookahead ({told['version']})"
    found = load_bandit_feedback(out)
    assert str(found["reward_of"]) == done["reward"]
    assert dict(zip(found["row_id"].tolist(), found["reward"].tolist(), strict=True)) == {
        row_id: reward for row_id, reward in by_row.items() if reward is not None
    }

    answers = tmp_path / "ope.json"
    run("ope", log, "--policy", "logged", "--reward", "lookahead", "--triton", url, "--estimators", "snips",
        "--json", str(answers))  # fmt: skip
    about = json.loads(answers.read_text())
    assert about["reward_version"] == told["version"]
    known = [reward for reward in by_row.values() if reward is not None]
    assert about["answers"][0]["value"] == pytest.approx(sum(known) / len(known))
