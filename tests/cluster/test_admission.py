"""What operators apply, given to a real API server: its schemas, rules and Pod Security. A warning is an error."""

import json
from collections.abc import Iterator

import pytest

from tools.cluster import kubectl
from tools.cluster.places import CHECKOUT, ClusterError, programs

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

K8S = CHECKOUT / "k8s"
OVERLAYS = {"prod": "prod", "gpu": "prod", "vllm": "prod", "dev": "dev", "ci": "ci"}
"""Overlays, and the one of which they have the namespace."""
NAMESPACE = "multimood"


@pytest.fixture(scope="module", autouse=True)
def custom_kinds() -> Iterator[None]:
    """Definitions as their projects publish them, and the namespaces, which a dry run does not make."""
    kubectl.ask("apply", "--server-side", "--filename", str(programs() / "crds"), within_s=120)
    kubectl.ask("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s", within_s=70)
    for name in sorted(set(OVERLAYS.values())):
        kubectl.ask("apply", "--filename", str(K8S / "overlays" / name / "namespace.yaml"))
    yield
    kubectl.ask("delete", "namespace", NAMESPACE, "multimood-dev", "--wait=false")


def dry_run(*given: str, manifest: object = None) -> str:
    text = None if manifest is None else json.dumps(manifest)
    return kubectl.ask("apply", "--dry-run=server", "--warnings-as-errors", *given, given=text, within_s=120)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_server_takes_the_overlay_and_warns_of_nothing(overlay: str) -> None:
    taken = dry_run("--kustomize", str(K8S / "overlays" / overlay)).splitlines()
    assert len(taken) > 40
    assert all(line.endswith("(server dry run)") for line in taken), taken


def manifest(api: str, kind: str, spec: object) -> dict[str, object]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "wrong", "namespace": NAMESPACE}, "spec": spec}


AS_ROOT = {
    "selector": {"matchLabels": {"a": "b"}},
    "template": {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "main", "image": "localhost/multimood/joiner:ci"}]},
    },
}
JMX = {"config": {}, "listeners": [], "metricsConfig": {"type": "jmxPrometheusExporter"}}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (manifest("apps/v1", "Deployment", AS_ROOT), "would violate PodSecurity"),
        (manifest("kafka.strimzi.io/v1", "KafkaTopic", {"partitoins": 12}), 'unknown field "spec.partitoins"'),
        (manifest("keda.sh/v1alpha1", "ScaledObject", {"triggers": []}), "spec.scaleTargetRef"),
        (manifest("kafka.strimzi.io/v1", "Kafka", {"kafka": JMX}), "valueFrom property is required"),
    ],
    ids=["pod-security", "unknown-field", "missing-field", "rule-in-cel"],
)
def test_what_a_server_warns_of_or_refuses_is_an_error(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ClusterError, match=told):
        dry_run("--filename", "-", manifest=wrong)
