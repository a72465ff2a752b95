"""What the pods use, by metrics-server."""

import time

import pytest

from tools.cluster import addons, kubectl
from tools.cluster.deploy import NAMESPACE, SERVERS, SERVICES, Deployed, pods

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(600)]


def used() -> dict[str, tuple[str, str]]:
    """CPU and memory by pod."""
    rows = kubectl.ask("--namespace", NAMESPACE, "top", "pods", "--no-headers").splitlines()
    return {name: (cpu, memory) for name, cpu, memory in map(str.split, rows)}


def test_kubectl_top_tells_what_every_pod_uses(there: Deployed) -> None:
    addons.install(addons.METRICS_SERVER)
    wanted = {pods(name)[0] for name in (*SERVICES, *SERVERS)}
    deadline = time.monotonic() + 120
    while not kubectl.works("--namespace", NAMESPACE, "top", "pods") or not wanted <= used().keys():
        assert time.monotonic() < deadline, "metrics-server knows nothing of some pods"
        time.sleep(2)
    for name in wanted:
        cpu, memory = used()[name]
        assert cpu.endswith("m")
        assert int(memory.removesuffix("Mi")) > 20, name
