"""`multimood rl promote`, `rollback` and `status` at the command line: what is said before any server is asked."""

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from multimood.cli import app
from multimood.cli.rollout_place import Where
from multimood.cli.rollout_shown import shown_status
from multimood.local.places import checkout
from multimood.rollout.shipped import shipped
from multimood.rollout.standing import NONE, Standing

pytestmark = pytest.mark.unit

SHIPPED = checkout() / "triton_models/policy/1/model.onnx"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    graph = SHIPPED.read_bytes()
    (tmp_path / "policy.onnx").write_bytes(graph)
    gate = {"passed": True, "policy_sha256": hashlib.sha256(graph).hexdigest()}
    (tmp_path / "gate.json").write_text(json.dumps(gate))
    return tmp_path


def rl(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["rl", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.mark.parametrize("stages", ["", "x", "0,0.5", "0.5,0.1", "0.1,0.1", "0.1,2", "1", "1.0", "nan"])
def test_stages_that_make_no_sense(run: Path, stages: str) -> None:
    result = rl("promote", run, "--operator", "o", "--stages", stages, "--data", run)
    assert result.exit_code == 2
    assert "write shares between 0 and 1, upwards" in result.output


def test_nobody_lets_it_pass(run: Path) -> None:
    result = rl("promote", run, "--data", run)
    assert result.exit_code == 1
    assert "say who with --operator NAME" in result.output


def test_without_a_system_it_is_said_what_to_do(run: Path) -> None:
    for arguments in (("promote", run, "--operator", "o"), ("rollback",), ("status",)):
        result = rl(*arguments, "--data", run / "none")
        assert result.exit_code == 1
        assert "no system runs in" in result.output
        assert "multimood up" in result.output


def test_an_option_counts_more_than_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REPOSITORY", "TRITON", "AUDIT"):
        monkeypatch.setenv(f"MULTIMOOD_ROLLOUT_{name}", f"env {name}")
    assert Where.of(Path("d"), "", "mine:8000", "") == Where(Path("d"), "env REPOSITORY", "mine:8000", "env AUDIT")


def test_who_is_champion_while_nothing_was_promoted() -> None:
    assert shipped("policy").sha256 == hashlib.sha256(SHIPPED.read_bytes()).digest()
    assert shipped("policy_esconv") == NONE


def test_a_model_of_which_nothing_was_promoted_has_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    shown_status("responder", [], None, Standing(shipped("responder")))
    told = capsys.readouterr().out
    assert f"responder: nothing promoted, champion {shipped('responder')}" in told
    assert "nothing was ever promoted" in told


def test_the_commands_teach() -> None:
    assert {"promote", "rollback", "status"} <= set(rl("--help").output.split())
    told = " ".join(rl("promote", "--help").output.split())
    for word in ("no way round the gate", "--policy-file", "--stages", "ends by its lease", "Exit code 0"):
        assert word in told


def test_a_model_s_name_must_be_one_of_its_kind(run: Path, tmp_path: Path) -> None:
    result = rl("promote", run, "--operator", "o", "--model", "responder", "--data", run)
    assert (result.exit_code, "responder is the reply model" in result.output) == (1, True)
    replies = tmp_path / "replies"
    replies.mkdir()
    (replies / "model.gguf").write_bytes(b"weights")
    gate = {"passed": True, "model_sha256": hashlib.sha256(b"weights").hexdigest()}
    (replies / "gate.json").write_text(json.dumps(gate))
    result = rl("promote", replies, "--operator", "o", "--model", "policy", "--data", run)
    assert (result.exit_code, "goes into service as responder" in result.output) == (1, True)
    assert "no system runs in" in rl("promote", replies, "--operator", "o", "--data", run).output
