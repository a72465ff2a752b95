"""`multimood ope` and `multimood simulate --log`: files in, tables, objects and exit codes out."""

import json
from pathlib import Path

import pytest
from ope_logs import row
from typer.testing import CliRunner, Result

from multimood.cli import app
from multimood.experience.schema import SCHEMA
from multimood.experience.table import encode

pytestmark = pytest.mark.unit


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    result = run("simulate", "--log", folder / "log", "--conversations", 80, "--truth", folder / "truth.jsonl")
    assert result.exit_code == 0, result.output
    return folder / "log"


def test_a_simulated_log_is_evaluated_beside_its_truth(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    result = run(
        "ope", log, "--policy", "uniform", "--reward", "rating", "--estimators", "snips,dr", "--slice", "stage",
        "--truth", log.parent / "truth.jsonl", "--json", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "stage=comforting" in result.output
    found = json.loads(out.read_text())
    assert found["policy"] == "uniform"
    whole = [answer for answer in found["answers"] if answer["slice"] == "all"]
    assert [answer["estimator"] for answer in whole] == ["snips", "dr"]
    for answer in whole:
        assert answer["low"] <= answer["truth"] <= answer["high"]
        assert answer["logged"]["estimator"] == "mean"


def test_refusing_has_an_exit_code_of_its_own(log: Path) -> None:
    result = run("ope", log, "--policy", "strategy:approval", "--horizon", 8, "--estimators", "pdis")
    assert result.exit_code == 3, result.output
    assert "small_ess" in result.output
    assert run("ope", log, "--policy", "logged", "--horizon", 8, "--estimators", "fqe").exit_code == 0


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--policy", "uniform", "--estimators", "magic"), 2, "magic"),
        (("--policy", "uniform", "--gamma", "0"), 2, "gamma"),
        (("--policy", "uniform", "--estimators", ","), 2, "names none"),
        (("--policy", "uniform", "--reward", "luck"), 1, "luck"),
        (("--policy", "uniform", "--slice", "weather"), 1, "weather"),
        (("--policy", "uniform", "--reward", "lookahead", "--horizon", "3"), 2, "leave --horizon out"),
        (("--policy", "nothing.json"), 1, "does not exist"),
        (("--policy", "strategy:silence"), 1, "never eligible"),
        (("--policy", "uniform", "--epsilon", "2"), 1, "0 to 1"),
        (("--policy", "uniform", "--truth", "nothing.jsonl"), 1, "does not exist"),
    ],
)
def test_mistakes_are_explained(log: Path, options: tuple[str, ...], code: int, told: str) -> None:
    result = run("ope", log, *options)
    assert result.exit_code == code, result.output
    assert told in result.output + result.stderr


def test_a_place_without_a_log(tmp_path: Path) -> None:
    assert run("ope", tmp_path / "nowhere", "--policy", "uniform").exit_code == 1
    assert run("ope", "s3://", "--policy", "uniform").exit_code == 1
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    assert run("ope", tmp_path, "--policy", "uniform").exit_code == 1


def test_a_log_without_rewards_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    rows = [{name: value for name, value in row(n, reward=None).items() if name != "feedback"} for n in range(5)]
    file.write_bytes(encode(rows, SCHEMA))
    result = run("ope", file, "--policy", "uniform")
    assert result.exit_code == 3
    assert "no_reward" in result.output


def test_logs_are_not_mixed(log: Path) -> None:
    result = run("simulate", "--log", log)
    assert result.exit_code == 1
    assert "not empty" in result.stderr
