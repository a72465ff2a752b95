"""KEDA on the cluster: its operator and its API server, out of its Go module, with the manifests that it ships."""

import shutil
from typing import Final

from tools.cluster import kubectl, runtime
from tools.cluster.node import MANIFESTS
from tools.cluster.places import programs, work

NAMESPACE: Final = "keda"
DEPLOYMENTS: Final = ("keda-operator", "keda-metrics-apiserver")


def install() -> None:
    """Bring it up and wait until external metrics are served.

    Raises:
        ClusterError: it does not come up.
    """
    runtime.take_images(work(), ["keda-operator", "keda-adapter"])
    ours = programs() / "keda-config" / "here"
    shutil.rmtree(ours, ignore_errors=True)
    shutil.copytree(MANIFESTS / "keda", ours)
    # Its definitions are too long for the annotation that a plain apply would put on them.
    kubectl.ask("apply", "--server-side", "--kustomize", str(ours), within_s=120)
    for name in DEPLOYMENTS:
        kubectl.ask("--namespace", NAMESPACE, "rollout", "status", f"deployment/{name}", "--timeout=300s", within_s=310)
    kubectl.ask(
        "wait",
        "--for=condition=Available",
        "apiservice/v1beta1.external.metrics.k8s.io",
        "--timeout=120s",
        within_s=130,
    )
