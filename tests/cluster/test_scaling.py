"""KEDA scales a service with the lag of its group, and back; and the gateway, which has no group, by its CPU."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml
from watching import client_of, outcome, unfinished

from multimood.client import TurnInput
from tools.cluster import addons, kubectl
from tools.cluster.deploy import NAMESPACE, Deployed
from tools.cluster.places import CHECKOUT

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(1800)]

SERVICE = "multimood-responder"
GATEWAY = "multimood-gateway"
UTTERANCES = 60


def scaled_object(name: str) -> dict[str, Any]:
    """The operators' own for a service, quicker: at most three pods, and down again after seconds."""
    documents = yaml.safe_load_all((CHECKOUT / "k8s/components/keda/scaling.yaml").read_text())
    (ours,) = (one for one in documents if one["metadata"]["name"] == name)
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


@pytest.fixture(scope="module", autouse=True)
def installed(there: Deployed) -> None:
    addons.install(addons.METRICS_SERVER)
    addons.install(addons.KEDA)


@contextmanager
def scaling(name: str) -> Iterator[None]:
    """KEDA has the service's number of pods for as long as the block runs."""
    kubectl.ask("apply", "--filename", "-", given=scaled_object(name))
    try:
        ready = ("wait", "--for=condition=Ready", f"scaledobject/{name}", "--timeout=120s")
        kubectl.ask("--namespace", NAMESPACE, *ready, within_s=130)
        yield
    finally:
        kubectl.ask("--namespace", NAMESPACE, "delete", "scaledobject", name, "--wait=false")
        kubectl.ask("--namespace", NAMESPACE, "scale", f"deployment/{name}", "--replicas=1")


def test_a_service_is_scaled_up_on_lag_and_back_and_nothing_is_lost(there: Deployed) -> None:
    with scaling(SERVICE):
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


def test_the_gateways_cpu_is_known_to_what_scales_it(there: Deployed) -> None:
    with scaling(GATEWAY):
        deadline = time.monotonic() + 120
        while (used := utilization(GATEWAY)) is None:
            assert time.monotonic() < deadline, "the autoscaler of the gateway has no value to go by"
            time.sleep(2)
        assert 0 <= used < 1000


def utilization(name: str) -> int | None:
    """Per cent of the requested CPU that the autoscaler sees."""
    status = kubectl.get("--namespace", NAMESPACE, "hpa", f"keda-hpa-{name}").get("status", {})
    found = [
        one["resource"]["current"].get("averageUtilization")
        for one in status.get("currentMetrics") or ()
        if "resource" in one
    ]
    return found[0] if found else None
