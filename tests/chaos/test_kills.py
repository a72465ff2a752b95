"""A short storm: kills, pauses and cut connections while utterances flow. Every utterance has exactly one outcome."""

from typing import Any

import pytest

from benchmarks.chaos.plan import LINKS
from benchmarks.chaos.proxy import FAULTS
from benchmarks.chaos.run import Orders, run
from multimood.local.services import SERVERS, SERVICES

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

KILLS = 20
GAP_S = (0.5, 2.5)
"""Shorter than a service takes to come back, so that some of it is always down."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the checker says after the storm."""
    return run(Orders(KILLS, seed=7, gap_s=GAP_S), tmp_path_factory.mktemp("chaos"))


def test_every_utterance_has_one_outcome_although_each_service_is_killed_once(report: dict[str, Any]) -> None:
    named = report["offenders"]
    assert (report["lost"], report["duplicated"], report["unsafe"]) == (0, 0, 0), named
    assert report["accepted"] >= report["confirmed"] > 0
    assert report["unconfirmed"] == 0
    assert report["replied"] + report["escalated"] == report["accepted"]
    assert set(report["by_service"]) == {*SERVERS, *(service.name for service in SERVICES)}
    assert report["kills"] == KILLS


def test_crises_are_escalated_in_the_storm_too(report: dict[str, Any]) -> None:
    assert report["escalated"] >= report["confirmed"] // 10


def test_every_outcome_is_scored_and_logged_in_the_end(report: dict[str, Any]) -> None:
    absent = {reason for reason in report["reasons"] if not reason.startswith("partial: missing")}
    assert absent == set()


def test_every_way_to_a_server_was_cut_in_every_manner(report: dict[str, Any]) -> None:
    assert set(report["faults"]) == {f"{link} {fault}" for link in LINKS for fault in FAULTS}
    assert report["pauses"] >= 1
