"""The part of `make test` that needs a Kubernetes is run, refused, or left out aloud."""

import os
import subprocess

import pytest

from tools.cluster.__main__ import PARTS
from tools.cluster.places import CHECKOUT
from tools.cluster.stage import TESTS, decide, main

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("environment", [{}, {"CLUSTER": "1"}, {"CLUSTER": "yes"}])
def test_it_runs_where_nothing_hinders_it(environment: dict[str, str]) -> None:
    verdict = decide(environment, None)
    assert (verdict.runs, verdict.fails) == (True, False)
    assert "CLUSTER=0" in verdict.text


@pytest.mark.parametrize("hindrance", [None, "no root"])
def test_who_asks_for_it_is_told_what_was_left_out(hindrance: str | None) -> None:
    verdict = decide({"CLUSTER": "0"}, hindrance)
    assert (verdict.runs, verdict.fails) == (False, False)
    assert verdict.text.startswith("LEFT OUT by CLUSTER=0: the system on a Kubernetes")


def test_a_machine_that_cannot_carry_it_is_told_why() -> None:
    verdict = decide({}, "no root")
    assert (verdict.runs, verdict.fails) == (False, False)
    assert verdict.text.startswith("LEFT OUT")
    assert verdict.text.endswith("no root")


def test_where_it_is_demanded_that_is_an_error_which_names_the_way_out() -> None:
    verdict = decide({"CLUSTER": "1"}, "no root")
    assert (verdict.runs, verdict.fails) == (False, True)
    assert "no root" in verdict.text
    assert "CLUSTER=0" in verdict.text


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [({}, 0, "takes root"), ({"CLUSTER": "1"}, 1, "takes root"), ({"CLUSTER": "0"}, 0, "by CLUSTER=0")],
)
def test_the_command_says_so_and_ends_accordingly(
    given: dict[str, str], code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CLUSTER", raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["ask"]) == code
    assert said in capsys.readouterr().out


def test_what_has_to_be_built_for_it_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLUSTER", "0")
    assert main(["parts"]) == 0
    assert capsys.readouterr().out.split() == ["crds", "skaffold"]
    known = subprocess.run([CHECKOUT / "tools/cluster/build.sh", "--parts"], capture_output=True, text=True, check=True)
    assert {"crds", "skaffold", *PARTS} <= set(known.stdout.split())


def test_some_tests_on_the_cluster_are_not_left_out() -> None:
    assert '-m "not long" tests/cluster' in TESTS
    short = [
        path.name
        for path in (CHECKOUT / "tests/cluster").glob("test_*.py")
        if "pytest.mark.long, " not in path.read_text()
    ]
    assert sorted(short) == ["test_admission.py", "test_priority.py", "test_replacing.py", "test_serving.py"]
