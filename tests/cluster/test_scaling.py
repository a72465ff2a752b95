"""KEDA scales a service with the lag of its group, and back."""

import asyncio
import time
from typing import Any

import pytest
import yaml
from watching import client_of, outcome, unfinished

from multimood.client import TurnInput
from tools.cluster import keda, kubectl
from tools.cluster.deploy import NAMESPACE, Deployed
from tools.cluster.places import CHECKOUT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

SERVICE = "multimood-responder"
UTTERANCES = 60


def scaled_object() -> dict[str, Any]:
    """The operators' own for the responder, quicker: at most three pods, and down again after seconds."""
    documents = yaml.safe_load_all((CHECKOUT / "k8s/components/keda/scaling.yaml").read_text())
    (ours,) = (one for one in documents if one["metadata"]["name"] == SERVICE)
    ours["metadata"]["namespace"] = NAMESPACE
    ours["spec"] |= {"minReplicaCount": 1, "maxReplicaCount": 3, "pollingInterval": 3, "cooldownPeriod": 10}
    ours["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] = {
        "scaleUp": {"stabilizationWindowSeconds": 0},
        "scaleDown": {
            "stabilizationWindowSeconds": 15,
            "policies": [{"type": "Pods", "value": 2, "periodSeconds": 10}],
        },
    }
    return dict(ours)


def replicas() -> int:
    return int(kubectl.get("--namespace", NAMESPACE, "deployment", SERVICE)["spec"]["replicas"])


def wait_replicas(wanted: range, within_s: float) -> int:
    deadline = time.monotonic() + within_s
    while (now := replicas()) not in wanted:
        assert time.monotonic() < deadline, f"{now} replicas, not {wanted}, after {within_s:.0f} s"
        time.sleep(1)
    return now


async def publish(there: Deployed) -> list[str]:
    """Many utterances at once: more than one responder answers in a minute."""
    turns = [TurnInput(f"lag-{number}", text=f"This is worry number {number}.") for number in range(UTTERANCES)]
    async with client_of(there) as client:
        for turn in turns:
            await client.publish(turn)
    return [turn.utterance_id for turn in turns]


def test_a_service_is_scaled_up_on_lag_and_back_and_nothing_is_lost(there: Deployed) -> None:
    keda.install()
    kubectl.ask("apply", "--filename", "-", given=scaled_object())
    try:
        kubectl.ask(
            "--namespace",
            NAMESPACE,
            "wait",
            "--for=condition=Ready",
            f"scaledobject/{SERVICE}",
            "--timeout=120s",
            within_s=130,
        )
        assert replicas() == 1
        confirmed = asyncio.run(publish(there))
        assert wait_replicas(range(2, 4), 300) > 1
        told = outcome(there, confirmed)
        counts = told.as_json()
        assert (counts["lost"], counts["duplicated"], counts["unsafe"], counts["pending"]) == (0, 0, 0, 0), (
            told.offenders
        )
        assert unfinished(told) == set()
        assert wait_replicas(range(1, 2), 300) == 1
    finally:
        kubectl.ask("--namespace", NAMESPACE, "delete", "scaledobject", SERVICE, "--wait=false")
        kubectl.ask("--namespace", NAMESPACE, "scale", f"deployment/{SERVICE}", "--replicas=1")
