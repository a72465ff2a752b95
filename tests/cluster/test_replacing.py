"""Pods go while utterances flow: nothing that was accepted is lost, and nothing is answered twice."""

from pathlib import Path

import pytest
from watching import outcome, traffic, unfinished, wait_replaced

from multimood.audit.summary import Summary
from tools.cluster import kubectl
from tools.cluster.deploy import NAMESPACE, SERVICES, Deployed, pods

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]


def assert_sound(told: Summary, confirmed: list[str]) -> None:
    counts = told.as_json()
    assert len(confirmed) > 0
    assert (counts["lost"], counts["duplicated"], counts["unsafe"], counts["pending"]) == (0, 0, 0, 0), told.offenders
    assert counts["replied"] + counts["escalated"] == counts["accepted"] >= len(confirmed)
    assert unfinished(told) == set()


def test_each_services_pod_is_deleted_under_load_and_nothing_is_lost(there: Deployed, tmp_path: Path) -> None:
    with traffic(there, tmp_path, seed=1) as load:
        for service in SERVICES:
            old = set(pods(service))
            kubectl.ask("--namespace", NAMESPACE, "delete", "pod", *old, "--wait=false")
            wait_replaced(service, old)
    assert load.begun == len(load.confirmed)
    assert_sound(outcome(there, load.confirmed), load.confirmed)


@pytest.mark.long
def test_a_pod_that_gets_no_grace_loses_nothing_either(there: Deployed, tmp_path: Path) -> None:
    with traffic(there, tmp_path, seed=2) as load:
        for service in ("joiner", "responder"):
            old = set(pods(service))
            kubectl.ask("--namespace", NAMESPACE, "delete", "pod", *old, "--grace-period=0", "--force", "--wait=false")
            wait_replaced(service, old)
    assert_sound(outcome(there, load.confirmed), load.confirmed)


def test_a_rolling_update_neither_loses_nor_doubles_a_reply(there: Deployed, tmp_path: Path) -> None:
    deployment = "deployment/multimood-responder"
    old = set(pods("responder"))
    with traffic(there, tmp_path, seed=3) as load:
        # Another value in the pod's template, as another image or setting would be.
        kubectl.ask("--namespace", NAMESPACE, "set", "env", deployment, "MULTIMOOD_LOG_LEVEL=INFO")
        kubectl.ask("--namespace", NAMESPACE, "rollout", "status", deployment, "--timeout=180s", within_s=190)
        wait_replaced("responder", old)
    assert_sound(outcome(there, load.confirmed), load.confirmed)
