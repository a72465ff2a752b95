"""`multimood rl train` and `multimood rl evaluate`: a log in, a run folder and a verdict out, with their exit codes."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from learning_logs import simulated, written
from typer.testing import CliRunner, Result

pytest.importorskip("onnx", reason="needs onnx: `make train-env`")

from multimood.cli import app, rl
from multimood.cli.lookahead import LookedAhead
from multimood.learning import fitting
from multimood.learning.graph import passthrough
from multimood.learning.policies import open_policy
from multimood.perception.state import names_of
from multimood.trust.values import Ahead

pytestmark = pytest.mark.unit


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["rl", *(str(argument) for argument in arguments)], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(simulated(400), tmp_path_factory.mktemp("hasty") / "log")


@pytest.fixture(scope="module")
def trained(log: Path) -> Path:
    out = log.parent / "run"
    result = run("train", log, "--learner", "bandit", "--out", out)
    assert result.exit_code == 0, result.output
    return out


def test_a_run_folder_says_what_was_learned_from_what(trained: Path) -> None:
    names = {file.name for file in trained.iterdir()}
    assert names >= {"policy.onnx", "config.json", "data.json", "metrics.json", "environment.json", "card.md"}
    assert "checkpoint" not in names
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["policy_sha256"] == hashlib.sha256((trained / "policy.onnx").read_bytes()).hexdigest()
    assert metrics["nearness"]["ess_share"] >= 0.05
    data = json.loads((trained / "data.json").read_text())
    assert data["parts"]["held"]["rows"] > 0
    assert data["parts"]["held"]["fingerprint"] != data["fingerprint"]
    card = (trained / "card.md").read_text()
    assert data["fingerprint"] in card
    assert "Not for" in card


def test_a_better_policy_passes_the_gate(trained: Path, log: Path, tmp_path: Path) -> None:
    result = run("evaluate", trained, log, "--json", tmp_path / "out.json")
    assert result.exit_code == 0, result.output
    gate = json.loads((trained / "gate.json").read_text())
    assert gate == json.loads((tmp_path / "out.json").read_text())
    assert gate["passed"] is True
    assert gate["reasons"] == []
    assert (gate["champion"], gate["champion_sha256"]) == ("logged", None)
    assert gate["policy_sha256"] == hashlib.sha256((trained / "policy.onnx").read_bytes()).hexdigest()
    assert gate["held_as_in_training"] is True
    whole = {one["estimator"]: one for one in gate["estimates"] if one["slice"] == "all"}
    assert whole["dr"]["low"] > whole["dr"]["champion"]["value"]
    assert whole["ips"]["support"]["ess"] > 50


def test_of_a_small_log_a_policy_is_learned_that_the_gate_can_judge(tmp_path: Path) -> None:
    log = written(simulated(160, seed=12), tmp_path / "log")
    assert run("train", log, "--out", tmp_path / "run").exit_code == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["nearness"]["ess_share"] > 0.15
    assert metrics["kept_of_the_fusion_model"] > 0
    run("evaluate", tmp_path / "run", log)
    gate = json.loads((tmp_path / "run" / "gate.json").read_text())
    assert not [why for why in gate["reasons"] if why.startswith("support")]


def test_the_clone_of_the_champion_is_refused(log: Path, tmp_path: Path) -> None:
    assert run("train", log, "--learner", "direct", "--out", tmp_path / "direct").exit_code == 0
    result = run("evaluate", tmp_path / "direct", log)
    assert result.exit_code == 3, result.output
    assert "does not pass the champion's" in result.output
    assert json.loads((tmp_path / "direct" / "gate.json").read_text())["passed"] is False


def test_a_policy_taught_the_wrong_way_round_is_refused(log: Path, tmp_path: Path) -> None:
    upside_down = [row | {"reward": 1 - row["reward"]} for row in simulated(400)]
    wrong = written(upside_down, tmp_path / "wrong")
    assert run("train", wrong, "--out", tmp_path / "run").exit_code == 0
    result = run("evaluate", tmp_path / "run", log)
    assert result.exit_code == 3, result.output
    assert "gets worse" in result.output


def test_a_champion_may_be_a_run_or_a_graph(trained: Path, log: Path, tmp_path: Path) -> None:
    itself = run("evaluate", trained / "policy.onnx", log, "--champion", trained, "--json", tmp_path / "out.json")
    assert itself.exit_code == 3, itself.output
    gate = json.loads((tmp_path / "out.json").read_text())
    assert gate["champion"].startswith("bandit-")
    assert gate["champion_sha256"] == gate["policy_sha256"]
    shipped = tmp_path / "shipped.onnx"
    passthrough("mesc").save(shipped)
    assert run("evaluate", trained, log, "--champion", shipped).exit_code == 0


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_also_after_a_kill(
    trained: Path, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = tmp_path / "again"
    calls, real = 0, fitting.optimize.minimize

    def dies(*arguments: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(fitting.optimize, "minimize", dies)
    assert run("train", log, "--out", again).exit_code != 0
    assert (again / "checkpoint").exists()
    assert not (again / "policy.onnx").exists()
    other = run("train", log, "--out", again, "--seed", 5)
    assert other.exit_code == 1
    assert "asked for other things" in other.output + other.stderr
    monkeypatch.setattr(fitting.optimize, "minimize", real)
    assert run("train", log, "--out", again).exit_code == 0
    assert (again / "policy.onnx").read_bytes() == (trained / "policy.onnx").read_bytes()


def test_training_anew_takes_the_old_verdict_away(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run("train", log, "--learner", "direct", "--out", out).exit_code == 0
    assert run("evaluate", out, log).exit_code == 3
    assert (out / "gate.json").exists()
    assert run("train", log, "--learner", "direct", "--out", out, "--seed", 1).exit_code == 0
    assert not (out / "gate.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--reward", "luck"), 2, "luck"),
        (("--held", "1"), 2, "held is 1"),
        (("--caution", "0"), 2, "caution is 0"),
        (("--learner", "magic"), 2, "magic"),
        (("--taxonomy", "esconv"), 1, "for the taxonomy 'esconv'"),
        (("--reward-version", "v9"), 1, "no reward is of version 'v9'"),
        (("--reward", "score_empathy"), 1, "no_reward"),
    ],
)
def test_mistakes_in_training_are_explained(
    log: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    result = run("train", log, "--out", tmp_path / "run", *arguments)
    assert result.exit_code == code, result.output
    assert told in result.output + result.stderr
    assert not (tmp_path / "run" / "policy.onnx").exists()


def test_logs_that_are_none_are_explained(tmp_path: Path) -> None:
    assert run("train", tmp_path / "nowhere", "--out", tmp_path / "run").exit_code == 1
    (tmp_path / "log").mkdir()
    empty = run("train", tmp_path / "log", "--out", tmp_path / "run")
    assert empty.exit_code == 1
    assert "no decision of 0 rows" in empty.output + empty.stderr
    (tmp_path / "log" / "broken.parquet").write_bytes(b"PAR1 and no more")
    broken = run("train", tmp_path / "log", "--out", tmp_path / "run")
    assert broken.exit_code == 1
    assert "broken.parquet" in broken.output + broken.stderr


def test_runs_that_are_none_are_explained(log: Path, trained: Path, tmp_path: Path) -> None:
    assert run("evaluate", tmp_path / "nothing", log).exit_code == 1
    (tmp_path / "policy.onnx").write_bytes(b"no graph")
    broken = run("evaluate", tmp_path, log)
    assert broken.exit_code == 1
    assert "is no graph of a policy" in broken.output + broken.stderr
    passthrough("esconv").save(tmp_path / "policy.onnx")
    other = run("evaluate", tmp_path / "policy.onnx", log)
    assert other.exit_code == 1
    assert "for the taxonomy 'esconv'" in other.output + other.stderr
    assert run("evaluate", trained, log, "--gamma", "0").exit_code == 2


def test_a_learned_policy_is_one_for_ope(trained: Path, log: Path) -> None:
    result = CliRunner().invoke(app, ["ope", str(log), "--policy", str(trained), "--estimators", "snips,dr"])
    assert result.exit_code == 0, result.output
    policy = open_policy(trained)
    state = np.random.default_rng(0).random((5, len(names_of("state-1:mesc"))))
    eligible = np.ones((5, 10), bool)
    eligible[:, 3] = False
    found = policy.choose(state, eligible)
    assert (found[:, 3] == 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_the_look_ahead_reward_is_learned_from(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The values themselves are judged by tests/integration/test_lookahead.py; here every second turn shows one."""
    found = {row["row_id"]: Ahead(float(row["step"] % 2), True) for row in simulated(400)}
    monkeypatch.setattr(rl, "looked_ahead", lambda *_arguments, **_options: LookedAhead(found, "lookahead-1+detector"))
    result = run("train", log, "--reward", "lookahead", "--learner", "direct", "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert 0 < json.loads((tmp_path / "run" / "metrics.json").read_text())["logged_reward"] < 1
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["wanted"]["reward_version"] == "lookahead-1+detector"
    assert run("evaluate", tmp_path / "run", log).exit_code == 3


def test_a_folder_that_was_tampered_with_is_explained(trained: Path, log: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    (copy / "config.json").write_text("{}")
    broken = run("evaluate", copy, log)
    assert broken.exit_code == 1
    assert "is no finished run" in broken.output + broken.stderr
    shutil.copy(trained / "config.json", copy / "config.json")
    (copy / "checkpoint").write_bytes(b"no checkpoint")
    again = run("train", log, "--out", copy)
    assert again.exit_code == 1
    assert "is no checkpoint of a learner" in again.output + again.stderr


def test_of_ppo_it_is_said_that_there_is_none_before_anything_has_to_be_installed(tmp_path: Path) -> None:
    result = run("train", "--learner", "ppo", "--dialogues", tmp_path, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "TRL 1.16 has no PPO trainer" in result.output
