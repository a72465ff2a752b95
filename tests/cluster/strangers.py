"""Pods that are none of the system's, in its namespace."""

import json

from tools.cluster.deploy import NAMESPACE

HARMLESS = {
    "runAsNonRoot": True, "runAsUser": 10001, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip


def lone_pod(name: str, millicores: int = 0, **security: object) -> str:
    """A pod that sleeps, as a manifest."""
    container = {
        "name": "main",
        "image": "localhost/multimood/joiner:ci",
        "imagePullPolicy": "Never",
        "command": ["sleep", "600"],
        "securityContext": HARMLESS | security,
        "resources": {"requests": {"cpu": f"{millicores}m"}},
    }
    head = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE}}
    return json.dumps(head | {"spec": {"containers": [container], "terminationGracePeriodSeconds": 0}})
