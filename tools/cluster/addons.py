"""KEDA and metrics-server, out of their Go modules and with the manifests that they ship, beside the system."""

import shutil
from dataclasses import dataclass
from typing import Final

from tools.cluster import kubectl, runtime
from tools.cluster.node import MANIFESTS
from tools.cluster.places import programs, work


@dataclass(frozen=True, slots=True)
class Addon:
    """Programs of tools/cluster/build.sh that run as pods and serve a part of the API."""

    name: str
    """Of its folder in tools/cluster/manifests, and with -config of what its module ships."""
    namespace: str
    images: tuple[str, ...]
    deployments: tuple[str, ...]
    api: str
    """The part of the API."""


KEDA: Final = Addon(
    "keda", "keda", ("keda-operator", "keda-adapter"), ("keda-operator", "keda-metrics-apiserver"),
    "v1beta1.external.metrics.k8s.io",
)  # fmt: skip
METRICS_SERVER: Final = Addon(
    "metrics-server", "kube-system", ("metrics-server",), ("metrics-server",), "v1beta1.metrics.k8s.io"
)


def install(addon: Addon) -> None:
    """Bring it up and wait until its part of the API is served.

    Raises:
        ClusterError: it does not come up.
    """
    runtime.take_images(work(), addon.images)
    ours = programs() / f"{addon.name}-config" / "here"
    shutil.rmtree(ours, ignore_errors=True)
    shutil.copytree(MANIFESTS / addon.name, ours)
    # KEDA's definitions are too long for the annotation that a plain apply would put on them.
    kubectl.ask("apply", "--server-side", "--kustomize", str(ours), within_s=120)
    for name in addon.deployments:
        kubectl.ask(
            "--namespace", addon.namespace, "rollout", "status", f"deployment/{name}", "--timeout=300s", within_s=310
        )
    kubectl.ask("wait", "--for=condition=Available", f"apiservice/{addon.api}", "--timeout=120s", within_s=130)
