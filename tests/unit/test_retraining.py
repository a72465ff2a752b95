"""The job that learns a policy on a schedule: it stops at the gate, and goes on only where somebody lets it."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from multimood.local.places import checkout

pytestmark = pytest.mark.unit

JOB: Any = yaml.safe_load((checkout() / "k8s/components/retraining/cronjob.yaml").read_text())
POD: Any = JOB["spec"]["jobTemplate"]["spec"]["template"]["spec"]
RECORDS = """#!/bin/sh
echo "$2 $3 $4 $5" >> "$TOLD"
case "$2" in
  train) mkdir -p "$6" ;;
  evaluate) [ "$GATE" = 0 ] && touch "$3/gate.json"; exit "$GATE" ;;
  promote) exit "$GUARD" ;;
esac
"""
"""Stands for `multimood` itself: what is tested is what the job asks of it, and what it makes of the answers."""


class World:
    """The job's script, with its folders moved below one of ours."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        command = folder / "bin" / "multimood"
        command.write_text(RECORDS)
        command.chmod(0o755)
        (self.script,) = [part for part in POD["containers"][0]["command"] if "multimood" in part]

    def run(self, gate: int = 0, guard: int = 0, operator: str = "") -> tuple[int, list[str]]:
        """Exit code, and what was asked for."""
        told = self.folder / "told"
        told.unlink(missing_ok=True)
        moved = self.script.replace("/runs/", f"{self.folder}/runs/").replace("/etc/multimood", str(self.folder))
        env = {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}", "TOLD": str(told), "LEARNER": "bandit",
            "GATE": str(gate), "GUARD": str(guard), "OPERATOR": operator,
        }  # fmt: skip
        code = subprocess.run(["sh", "-euc", moved], env=env, check=False, stdout=subprocess.DEVNULL).returncode
        lines = told.read_text().splitlines() if told.exists() else []
        return code, [line.split()[0] for line in lines]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_it_stops_at_the_gate(world: World) -> None:
    assert world.run(gate=3) == (0, ["train", "evaluate"]), "the gate's no is no failure"
    assert world.run(gate=1) == (1, ["train", "evaluate"]), "a fault is, and is tried again"
    assert world.run() == (0, ["train", "evaluate"]), "passed, and nobody has let it into service"


def test_somebody_lets_it_pass(world: World) -> None:
    assert world.run(operator="Dr. B.") == (0, ["train", "evaluate", "promote"])
    assert world.run(operator="Dr. B.") == (0, ["promote"]), "what was judged is not learned anew"
    assert world.run(operator="Dr. B.", guard=3) == (0, ["promote"]), "the guard's no is no failure, either"
    assert world.run(operator="Dr. B.", guard=1) == (1, ["promote"])


def test_a_file_lets_it_pass(world: World) -> None:
    (world.folder / "approvals").mkdir()
    (world.folder / "approvals" / "approvals.toml").touch()
    assert world.run() == (0, ["train", "evaluate", "promote"])


def test_it_runs_alone_and_restricted() -> None:
    assert JOB["spec"]["concurrencyPolicy"] == "Forbid"
    assert POD["securityContext"]["runAsNonRoot"] is True
    (container,) = POD["containers"]
    assert container["image"].startswith("multimood/training:")
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert "AS training" in (checkout() / "Containerfile").read_text()
