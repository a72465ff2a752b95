"""What an operator sees first: pods Ready, an answer through the door, and what the cluster refuses."""

import time

import pytest
from strangers import lone_pod
from watching import client_of

from multimood.client import TurnInput
from tools.cluster import kubectl
from tools.cluster.deploy import NAMESPACE, OVERLAY, SERVERS, SERVICES, Deployed, pods
from tools.cluster.places import ClusterError

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

CONNECTS = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=4).close()
except OSError as error:
    print(type(error).__name__)
else:
    print("connected")
"""


def connects(service: str, host: str, port: int) -> str:
    """What becomes of a connection out of a service's pod."""
    (pod, *_) = pods(service)
    return kubectl.ask("--namespace", NAMESPACE, "exec", pod, "--", "python", "-c", CONNECTS, host, str(port)).strip()


def test_every_pod_is_ready_and_none_was_restarted(there: Deployed) -> None:
    found = kubectl.get("--namespace", NAMESPACE, "pods", "--field-selector=status.phase=Running")["items"]
    assert {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in found} >= {*SERVICES, *SERVERS}
    restarts = {
        pod["metadata"]["name"]: status["restartCount"]
        for pod in found
        for status in pod["status"]["containerStatuses"]
    }
    assert set(restarts.values()) == {0}, restarts


async def test_an_utterance_at_the_gateway_is_answered(there: Deployed) -> None:
    async with client_of(there) as client:
        turn = TurnInput("cluster-1", text="I have not slept for days, and nobody at work seems to notice.")
        parts = [part async for part in client.converse(turn)]
    assert parts[0].HasField("accepted")
    assert [part.reply.text for part in parts if part.HasField("reply")] != [""]
    assert sum(part.HasField("reply") for part in parts) == 1


def test_a_root_pod_is_refused(there: Deployed) -> None:
    with pytest.raises(ClusterError, match=r'violates PodSecurity "restricted'):
        kubectl.ask("create", "--filename", "-", given=lone_pod("root", runAsNonRoot=False, runAsUser=0))
    with pytest.raises(ClusterError, match="NotFound"):
        kubectl.ask("--namespace", NAMESPACE, "get", "pod", "root")


def test_the_root_file_system_is_read_only(there: Deployed) -> None:
    for service in SERVICES:
        with pytest.raises(ClusterError, match="Read-only file system"):
            kubectl.ask("--namespace", NAMESPACE, "exec", pods(service)[0], "--", "touch", "/opt/new")


def test_policies_let_a_service_reach_what_it_needs_and_nothing_else(there: Deployed) -> None:
    assert connects("joiner", "kafka", 9092) == "connected"
    assert connects("text-encoder", "triton", 8001) == "connected"
    # The joiner needs no models, the sentinel no store.
    assert connects("joiner", "triton", 8001) == "TimeoutError"
    assert connects("sentinel", "store", 8333) == "TimeoutError"


def test_policies_keep_a_stranger_out_and_nothing_else_does(there: Deployed) -> None:
    kubectl.ask("create", "--filename", "-", given=lone_pod("stranger"))
    kubectl.ask(
        "--namespace", NAMESPACE, "wait", "--for=condition=Ready", "pod/stranger", "--timeout=120s", within_s=130
    )
    address = kubectl.get("--namespace", NAMESPACE, "pod", "kafka-0")["status"]["podIP"]

    def knock() -> str:
        argv = ("exec", "stranger", "--", "python", "-c", CONNECTS, address, "9092")
        return kubectl.ask("--namespace", NAMESPACE, *argv).strip()

    try:
        assert knock() == "TimeoutError"
        kubectl.ask("--namespace", NAMESPACE, "delete", "networkpolicy", "--all")
        deadline = time.monotonic() + 60
        while (became := knock()) != "connected" and time.monotonic() < deadline:
            time.sleep(1)
        assert became == "connected"
        assert connects("joiner", "triton", 8001) == "connected"
    finally:
        kubectl.ask("apply", "--kustomize", str(OVERLAY))
        kubectl.ask("--namespace", NAMESPACE, "delete", "pod", "stranger", "--wait=false")
    deadline = time.monotonic() + 60
    while (became := connects("joiner", "triton", 8001)) != "TimeoutError" and time.monotonic() < deadline:
        time.sleep(1)
    assert became == "TimeoutError"
