"""On a full node what a crisis passes takes another's place; what only makes a reply better waits."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from strangers import lone_pod

from tools.cluster import kubectl
from tools.cluster.deploy import NAMESPACE, Deployed, is_ready
from tools.cluster.network import NODE

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

LEFT_OVER = 10
"""Millicores: less than any of the services requests."""


def millicores(quantity: str) -> int:
    return int(quantity[:-1]) if quantity.endswith("m") else int(1000 * float(quantity))


def unrequested() -> int:
    """What of the node's CPU no pod has requested."""
    found = kubectl.get("pods", "--all-namespaces", "--field-selector=status.phase!=Succeeded")["items"]
    requests = [one.get("resources", {}).get("requests", {}) for pod in found for one in pod["spec"]["containers"]]
    there = kubectl.get("node", NODE)["status"]["allocatable"]["cpu"]
    return millicores(there) - sum(millicores(one.get("cpu", "0")) for one in requests)


def pods_of(name: str) -> list[Any]:
    selector = f"--selector=app.kubernetes.io/component={name}"
    return list(kubectl.get("--namespace", NAMESPACE, "pods", selector)["items"])


def wait(what: str, is_there: Callable[[], bool], within_s: float = 120.0) -> None:
    deadline = time.monotonic() + within_s
    while not is_there():
        assert time.monotonic() < deadline, f"{what}: not within {within_s:.0f} s"
        time.sleep(1)


@contextmanager
def scaled(name: str, replicas: int) -> Iterator[None]:
    deployment = f"deployment/multimood-{name}"
    kubectl.ask("--namespace", NAMESPACE, "scale", deployment, f"--replicas={replicas}")
    try:
        yield
    finally:
        kubectl.ask("--namespace", NAMESPACE, "scale", deployment, "--replicas=1")
        wait(f"one pod of {name}", lambda: len(pods_of(name)) == 1)


def unscheduled(pod: Any) -> bool:
    """Tell whether the scheduler has found no place for it."""
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "PodScheduled" and one.get("reason") == "Unschedulable" for one in conditions)


def test_on_a_full_node_a_sentinel_takes_anothers_place_and_a_responder_waits(there: Deployed) -> None:
    kubectl.ask("create", "--filename", "-", given=lone_pod("filler", unrequested() - LEFT_OVER))
    try:
        kubectl.ask("--namespace", NAMESPACE, "wait", "--for=condition=Ready", "pod/filler", "--timeout=60s")
        with scaled("responder", 2):
            wait("a responder without a place", lambda: any(map(unscheduled, pods_of("responder"))))
            with scaled("sentinel", 2):
                wait("two sentinels", lambda: sum(map(is_ready, pods_of("sentinel"))) == 2)
        told = kubectl.get("--namespace", NAMESPACE, "events", "--field-selector=reason=Preempted")["items"]
        assert [one["involvedObject"]["name"] for one in told] == ["filler"]
    finally:
        kubectl.ask("--namespace", NAMESPACE, "delete", "pod", "filler", "--ignore-not-found")
