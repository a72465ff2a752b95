"""`multimood erase` and `multimood keys rewrap` as they are called: what is missing is told."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from multimood.cli import app
from multimood.cli.erase import _show
from multimood.erasure.places import PLACES, Outcome, Report

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MULTIMOOD_S3_ENDPOINT", "MULTIMOOD_MASTER_KEY", "MULTIMOOD_KAFKA_BROKERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize(
    "arguments",
    [(), ("--tenant", "t"), ("--subject", "s"), ("--tenant", "t", "--subject", "s", "--conversation", "c")],
)
def test_who_is_to_be_erased_must_be_said(arguments: tuple[str, ...]) -> None:
    result = run("erase", *arguments)
    assert result.exit_code == 2
    assert "--subject" in result.output


@pytest.mark.parametrize(
    "command", [("erase", "--tenant", "t", "--subject", "s"), ("erase", "--expired"), ("keys", "rewrap")]
)
def test_without_a_system_it_says_how_to_get_to_one(command: tuple[str, ...], tmp_path: Path) -> None:
    result = run(*command, "--data", str(tmp_path))
    assert result.exit_code == 1
    assert "no system runs" in result.output


def test_keys_are_not_rewrapped_by_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIMOOD_S3_ENDPOINT", "127.0.0.1:1")
    result = run("keys", "rewrap")
    assert result.exit_code == 1
    assert "MULTIMOOD_MASTER_KEY" in result.output


def report(**places: Outcome) -> Report:
    every = {name: Outcome() for name in PLACES} | places
    return Report("t", "0a" * 16, "who", 1, places=every)  # type: ignore[arg-type]


def test_an_erasure_is_finished_only_when_every_place_is_done(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert report().finished
    for name in PLACES:
        assert not report(**{name: Outcome(fault="away")}).finished
        assert not report(**{name: Outcome(left=["something"])}).finished
    assert report(audit=Outcome(fault="away")).complete, "what the record says of itself is not in it"
    assert not Report("t", "0a", "who", 1).finished, "a place that was not looked at is not done"
    _show(report(media=Outcome(fault="[it] does not answer")), tmp_path / "report.json")
    printed = capsys.readouterr().out
    assert "NOT FINISHED" in printed
    assert "[it] does not answer" in printed
    assert '"complete": false' in (tmp_path / "report.json").read_text()


def test_a_look_at_a_place_that_does_not_answer_is_none() -> None:
    assert report(media=Outcome(left=["something"])).reached
    assert not report(log=Outcome(fault="away")).reached
