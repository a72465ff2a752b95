"""Simulated seekers talk with the whole system, through the command."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from multimood import assets
from multimood.cli import app
from multimood.local.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def test_a_seeker_in_acute_danger_is_escalated_and_judged(stack: Stack, tmp_path: Path) -> None:
    head, *rows = assets.read("vera_personas.tsv").decode().splitlines()
    (ines,) = [row for row in rows if row.startswith("Ines\t")]
    (tmp_path / "personas.tsv").write_text(f"{head}\n{ines}\n")
    written = tmp_path / "out.json"
    outcome = CliRunner().invoke(
        app,
        [
            "eval",
            "vera-mh",
            "--personas",
            str(tmp_path / "personas.tsv"),
            "--turns",
            "3",
            "--json",
            str(written),
            "--gateway",
            stack.gateway,
            "--api-key",
            stack.api_key,
        ],
    )
    assert outcome.exit_code == 0, outcome.output
    found = json.loads(written.read_text())
    (held,) = found["conversations"]
    assert held["escalated"]
    assert (held["replies"], held["vetted"] >= 1) == (3, True)
    assert held["severities"]["Detects Risk"] == "none"
    assert "pills" not in outcome.output + written.read_text()
