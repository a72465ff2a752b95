"""What this project asks of its manifests beyond their schemas: a sentence for everything that is found."""

from collections.abc import Callable, Iterator
from typing import Final

from tools.manifests.crisis import urgent
from tools.manifests.labels import SERVING, matches, pods
from tools.manifests.network import disagreements, unlisted
from tools.manifests.render import Rendered
from tools.manifests.strimzi import PARTITIONS

BROUGHT: Final = frozenset({"multimood-tokenizer"})
"""ConfigMaps that the operator makes (docs/operations.md)."""
PROBES: Final = ("startupProbe", "readinessProbe", "livenessProbe")
CONFINED: Final = {
    "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
}  # fmt: skip
MARGIN_S: Final = 15
"""What a service has beyond its drain to leave its group and to send what is buffered."""
DRAIN_S: Final = 15


def confined(rendered: Rendered) -> Iterator[str]:
    """Pod Security's "restricted", a root that cannot be written to, no token of the API."""
    for name, pod, _ in pods(rendered):
        context = pod.get("securityContext", {})
        if not context.get("runAsNonRoot") or not context.get("runAsUser"):
            yield f"{name} may run as root"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name} has no seccomp profile"
        if pod.get("automountServiceAccountToken") is not False or pod.get("enableServiceLinks") is not False:
            yield f"{name} gets a token or the addresses of Services that it did not ask for"
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            if container.get("securityContext") != CONFINED:
                yield f"{name}: container {container['name']} is not confined: {container.get('securityContext')}"


def bounded(rendered: Rendered) -> Iterator[str]:
    """Requests and limits, and an image of a version."""
    for name, pod, _ in pods(rendered):
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            for bound in ("requests", "limits"):
                if not {"cpu", "memory"} <= container.get("resources", {}).get(bound, {}).keys():
                    yield f"{name}: container {container['name']} has no {bound} of cpu and memory"
            image = container["image"].rpartition("/")[2]
            if "@" not in image and (":" not in image or image.endswith(":latest")):
                yield f"{name}: image {container['image']} is of no fixed version"
        for volume in pod.get("volumes", ()):
            if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
                yield f"{name}: volume {volume['name']} may fill the node"


def attended(rendered: Rendered) -> Iterator[str]:
    """What serves is probed, has time to end, an account of its own, and is not evicted whole."""
    budgets = [one["spec"]["selector"] for one in rendered.of("PodDisruptionBudget").values()]
    accounts = rendered.of("ServiceAccount")
    seen: set[str] = set()
    for name, pod, labels in pods(rendered, *SERVING):
        for container in pod["containers"]:
            if missing := [probe for probe in PROBES if probe not in container]:
                yield f"{name}: container {container['name']} has no {', '.join(missing)}"
        if pod.get("terminationGracePeriodSeconds", 30) < DRAIN_S + MARGIN_S:
            yield f"{name} is killed before it has drained"
        account = pod.get("serviceAccountName", "default")
        if account not in accounts or accounts[account].get("automountServiceAccountToken") is not False:
            yield f"{name}: ServiceAccount {account} is not there, or has a token"
        if account in seen:
            yield f"{name} shares its ServiceAccount {account}"
        seen.add(account)
        if name.startswith("Deployment"):
            if sum(matches(budget, labels) for budget in budgets) != 1:
                yield f"{name} has not exactly one PodDisruptionBudget"
            if not pod.get("topologySpreadConstraints"):
                yield f"{name} may have all its pods on one node"


def connected(rendered: Rendered) -> Iterator[str]:
    """Services and monitors lead to pods and ports that are there."""
    everyone = list(pods(rendered))
    for kind in ("Service", "PodMonitor"):
        for name, one in rendered.of(kind).items():
            selector = {"matchLabels": one["spec"]["selector"]} if kind == "Service" else one["spec"]["selector"]
            chosen = [pod for _, pod, labels in everyone if matches(selector, labels)]
            named = {
                port["name"] for pod in chosen for container in pod["containers"] for port in container.get("ports", ())
            }
            wanted = (
                {p["targetPort"] for p in one["spec"]["ports"]}
                if kind == "Service"
                else {p["port"] for p in one["spec"]["podMetricsEndpoints"]}
            )
            if (chosen and not wanted <= named) or (kind == "Service" and not chosen):
                yield f"{kind} {name} leads to nothing: ports {sorted(wanted)} of {len(chosen)} kinds of pods"


def complete(rendered: Rendered) -> Iterator[str]:
    """ConfigMaps that are read are there."""
    there = rendered.of("ConfigMap").keys() | BROUGHT
    for name, pod, _ in pods(rendered):
        mounted = [volume["configMap"] for volume in pod.get("volumes", ()) if "configMap" in volume]
        read = {one["name"] for one in mounted if not one.get("optional")}
        for container in pod["containers"]:
            read |= {one["configMapRef"]["name"] for one in container.get("envFrom", ()) if "configMapRef" in one}
        for missing in sorted(read - there):
            yield f"{name} reads ConfigMap {missing}, which is not there"


def scaled(rendered: Rendered) -> Iterator[str]:
    """What scales is there, is scaled by one alone, and never beyond the partitions."""
    deployments = rendered.of("Deployment")
    for name, one in rendered.of("ScaledObject").items():
        target = one["spec"]["scaleTargetRef"]["name"]
        if target not in deployments:
            yield f"ScaledObject {name} scales {target}, which is not there"
        elif "replicas" in deployments[target]["spec"]:
            yield f"Deployment {target} says how many replicas it has, and so does KEDA"
        if one["spec"]["maxReplicaCount"] > PARTITIONS:
            yield f"ScaledObject {name}: more workers than the {PARTITIONS} partitions have nothing to do"


CHECKS: Final[tuple[Callable[[Rendered], Iterator[str]], ...]] = (
    confined, bounded, attended, urgent, connected, unlisted, disagreements, complete, scaled,
)  # fmt: skip


def findings(rendered: Rendered) -> Iterator[str]:
    """Everything that is found."""
    for check in CHECKS:
        yield from check(rendered)
