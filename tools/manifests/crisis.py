"""The way of a crisis to a human: what it passes comes first on a node, and no limit slows it."""

from collections.abc import Iterator
from typing import Final

from tools.manifests.labels import SERVING, pods
from tools.manifests.render import Manifest, Rendered

COMPONENT: Final = "app.kubernetes.io/component"
CRISIS: Final = ("gateway", "kafka", "sentinel")
"""What a crisis passes on its way to a human."""
MODELS: Final = ("triton", "vllm")
"""These take the cores that models need, and give way only by their priority."""
UNSLOWED: Final = 4.0
"""Cores that the threads of a service, or of a small broker, do not use up in a tenth of a second."""


def urgent(rendered: Rendered) -> Iterator[str]:
    """What a crisis passes has its place on a node and its share of CPU before all else, and no limit slows it."""
    classes = rendered.of("PriorityClass")
    serving = list(pods(rendered, *SERVING))
    shares = {name: _cpu(pod, "requests") for name, pod, labels in serving if labels.get(COMPONENT) not in MODELS}
    for name, pod, labels in serving:
        component, given = labels.get(COMPONENT), pod.get("priorityClassName")
        if component not in CRISIS:
            if given is not None:
                yield f"{name} has priority {given}, but no crisis passes it"
            continue
        if given not in classes:
            yield f"{name} has no priority that is there ({given}), and a crisis passes it"
        if _cpu(pod, "limits") < UNSLOWED:
            yield f"{name} stands still when it has used up less than {UNSLOWED} cores, and a crisis passes it"
        if shares[name] < max(shares.values()):
            yield f"{name} requests less CPU than {max(shares, key=lambda one: shares[one])}, and a crisis passes it"
    for name, pool in rendered.of("KafkaNodePool").items():
        given = pool["spec"].get("template", {}).get("pod", {}).get("priorityClassName")
        if given not in classes:
            yield f"KafkaNodePool {name} has no priority that is there ({given}), and a crisis passes it"


def _cpu(pod: Manifest, bound: str) -> float:
    """Cores that a pod's first container requests, or is limited to."""
    told = str(pod["containers"][0].get("resources", {}).get(bound, {}).get("cpu", 0))
    return float(told.removesuffix("m")) / 1000 if told.endswith("m") else float(told)
