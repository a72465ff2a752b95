"""What k8s/ comes to, held to the project's own rules; and each rule finds what it is for."""

import copy
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from promql import asked, expressions, rules

from benchmarks.capacity import HEAD, rows, turn
from benchmarks.capacity import measured as measured_costs
from multimood.access import ACCESS
from multimood.local.services import SERVICES
from multimood.settings import KafkaSettings
from tools.manifests import generated
from tools.manifests.__main__ import main
from tools.manifests.labels import pods
from tools.manifests.policy import findings
from tools.manifests.render import K8S, ROOT, Rendered, components, kustomize, mixed, mixtures, overlays
from tools.manifests.schemas import definitions, faults, strict
from tools.manifests.strimzi import PARTITIONS, topics, users

pytestmark = pytest.mark.unit

KUBECTL = str(Path(sys.executable).parent / "kubectl")
PROD = K8S / "overlays" / "prod"
GUIDE = (ROOT / "docs" / "operations.md").read_text()


@cache
def rendered(folder: Path) -> Rendered:
    return kustomize(folder, KUBECTL)


def prod() -> Rendered:
    return rendered(PROD)


def changed(kind: str, name: str, change: Callable[[Any], None]) -> list[str]:
    """What is found when one manifest is another."""
    manifests = copy.deepcopy(prod().manifests)
    (one,) = [manifest for manifest in manifests if (manifest["kind"], manifest["metadata"]["name"]) == (kind, name)]
    change(one)
    return list(findings(Rendered("changed", manifests)))


# --- everything that is there ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", overlays(), ids=lambda path: str(path.relative_to(K8S)))
def test_nothing_is_found(folder: Path) -> None:
    assert list(findings(rendered(folder))) == []


@pytest.mark.parametrize("chosen", mixtures(most=1), ids="+".join)
def test_every_component_goes_on_the_base(chosen: tuple[str, ...]) -> None:
    assert list(findings(mixed(chosen, KUBECTL))) == []


def test_every_component_is_tried_and_every_two() -> None:
    tried = [frozenset(one) for one in mixtures()]
    assert {name for one in tried for name in one} == set(components())
    assert any({"strimzi", "network-policies"} <= one for one in tried)


def test_what_is_made_from_the_code_is_fresh() -> None:
    assert list(generated.stale()) == []


# --- each rule finds what it is for ----------------------------------------------------------------------------------


def pod_of(manifest: Any) -> Any:
    return manifest["spec"]["template"]["spec"]


def container_of(manifest: Any) -> Any:
    return pod_of(manifest)["containers"][0]


def cpu_of(manifest: Any, bound: str, cores: str) -> None:
    container_of(manifest)["resources"][bound]["cpu"] = cores


@pytest.mark.parametrize(
    ("kind", "name", "change", "found"),
    [
        ("Deployment", "multimood-joiner", lambda one: pod_of(one)["securityContext"].pop("runAsNonRoot"), "as root"),
        ("Deployment", "multimood-joiner", lambda one: pod_of(one)["securityContext"].pop("seccompProfile"), "seccomp"),
        ("Deployment", "multimood-joiner", lambda one: pod_of(one).pop("automountServiceAccountToken"), "token"),
        ("Deployment", "multimood-joiner", lambda one: container_of(one).pop("securityContext"), "not confined"),
        ("Deployment", "multimood-joiner", lambda one: container_of(one)["resources"].pop("limits"), "no limits"),
        ("Deployment", "multimood-joiner", lambda one: container_of(one).update(image="a/b"), "no fixed version"),
        ("Deployment", "multimood-joiner", lambda one: container_of(one).update(image="a/b:latest"), "no fixed"),
        ("Deployment", "multimood-joiner", lambda one: container_of(one).pop("livenessProbe"), "no livenessProbe"),
        ("Deployment", "multimood-joiner", lambda one: pod_of(one).update(terminationGracePeriodSeconds=20), "killed"),
        ("Deployment", "multimood-joiner", lambda one: pod_of(one).pop("topologySpreadConstraints"), "on one node"),
        ("Deployment", "multimood-joiner", lambda one: pod_of(one).update(serviceAccountName="x"), "ServiceAccount x"),
        ("Deployment", "multimood-joiner", lambda one: one["spec"].update(replicas=2), "so does KEDA"),
        ("Deployment", "multimood-joiner", lambda one: pod_of(one)["volumes"][-1].update(emptyDir={}), "fill the node"),
        ("PodDisruptionBudget", "multimood-joiner", lambda one: one["spec"].update(selector={}), "exactly one"),
        ("NetworkPolicy", "multimood-joiner", lambda one: one["spec"].update(policyTypes=["Ingress"]), "['Egress']"),
        ("NetworkPolicy", "multimood-joiner", lambda one: one["spec"]["ingress"][0].update(ports=[{"port": 1}]), "[1]"),
        ("NetworkPolicy", "multimood-strategist", lambda one: one["spec"]["egress"].clear(), "may not go out"),
        ("NetworkPolicy", "multimood-triton", lambda one: one["spec"]["ingress"].clear(), "is not let in there"),
        ("Deployment", "multimood-sentinel", lambda one: pod_of(one).pop("priorityClassName"), "no priority that is"),
        ("Deployment", "multimood-joiner", lambda one: pod_of(one).update(priorityClassName="a"), "no crisis passes"),
        ("Deployment", "multimood-gateway", lambda one: cpu_of(one, "limits", "1"), "stands still"),
        ("Deployment", "multimood-joiner", lambda one: cpu_of(one, "requests", "0.3"), "less CPU than Deployment m"),
        ("PriorityClass", "multimood-crisis", lambda one: one["metadata"].update(name="x"), "(multimood-crisis)"),
        ("KafkaNodePool", "brokers", lambda one: one["spec"].pop("template"), "KafkaNodePool brokers has no priority"),
        ("Service", "triton", lambda one: one["spec"]["ports"][0].update(targetPort="x"), "leads to nothing"),
        ("ConfigMap", "multimood-triton-canary", lambda one: one["metadata"].update(name="x"), "not there"),
        ("ScaledObject", "multimood-joiner", lambda one: one["spec"].update(maxReplicaCount=13), "nothing to do"),
        ("ScaledObject", "multimood-joiner", lambda one: one["spec"]["scaleTargetRef"].update(name="x"), "not there"),
    ],
)  # fmt: skip
def test_a_fault_is_found(kind: str, name: str, change: Callable[[Any], None], found: str) -> None:
    name = next(full for full in prod().of(kind) if full.startswith(name) and (kind == "ConfigMap" or full == name))
    told = changed(kind, name, change)
    assert any(found in one for one in told), told


# --- schemas ---------------------------------------------------------------------------------------------------------

CUSTOM = {
    ("example.com/v1", "Thing"): strict(
        {
            "type": "object",
            "properties": {
                "apiVersion": {}, "kind": {}, "metadata": {},
                "spec": {
                    "type": "object",
                    "properties": {
                        "size": {"x-kubernetes-int-or-string": True, "type": "integer"},
                        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {}},
                        "none": {"type": "string", "nullable": True},
                        "enum": {"type": "object", "properties": {"a": {"type": "string"}}},
                    },
                },
            },
        }
    )
}  # fmt: skip


def thing(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": spec}


@pytest.mark.parametrize(
    "spec", [{"size": "10Gi"}, {"size": 10}, {"free": {"any": 1}}, {"none": None}, {"enum": {"a": ""}}]
)
def test_what_a_server_would_take_passes(spec: dict[str, Any]) -> None:
    assert list(faults(thing(**spec), CUSTOM)) == []


@pytest.mark.parametrize("spec", [{"sizes": 1}, {"size": []}, {"none": 1}, {"enum": {"b": ""}}])
def test_what_a_server_would_refuse_or_drop_is_found(spec: dict[str, Any]) -> None:
    assert list(faults(thing(**spec), CUSTOM))


def test_a_definition_is_read_as_its_project_publishes_it(tmp_path: Path) -> None:
    (tmp_path / "things.yaml").write_text(
        """
kind: CustomResourceDefinition
spec:
  group: example.com
  names: {kind: Thing}
  versions:
    - name: v1
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties:
                match: {type: string, enum: ['!=', =]}
"""
    )
    custom = definitions(tmp_path)
    assert list(faults(thing(match="="), custom)) == []
    assert list(faults(thing(match="~"), custom))


def test_a_misspelt_field_and_an_unknown_kind_are_found() -> None:
    policy_ = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "a"}}
    assert list(faults({**policy_, "spec": {"maxUnavailable": 1}}, {})) == []
    assert list(faults({**policy_, "spec": {"maxUnavailabel": 1}}, {}))
    assert "no schema" in next(faults(thing(), {}))


# --- manifests against the code --------------------------------------------------------------------------------------


def test_scaling_is_by_the_groups_that_there_are_and_up_to_the_partitions() -> None:
    scaled = prod().of("ScaledObject")
    assert len(scaled) == len(SERVICES)
    prefix = KafkaSettings.model_construct().group_prefix
    for service in SERVICES:
        one = scaled[f"multimood-{service.name.replace('_', '-')}"]["spec"]
        (trigger,) = one["triggers"]
        if ACCESS[service.name].consumes:
            assert trigger["metadata"]["consumerGroup"] == f"{prefix}.{service.name}"
            assert trigger["metadata"]["offsetResetPolicy"] == "earliest", "as the workers begin"
        else:
            assert trigger["type"] == "cpu"
    (config,) = [
        one["data"] for name, one in prod().of("ConfigMap").items() if "MULTIMOOD_KAFKA_BROKERS" in one["data"]
    ]
    assert config["MULTIMOOD_KAFKA_PARTITIONS"] == str(PARTITIONS)
    assert {one["spec"]["partitions"] for one in topics()} == {PARTITIONS}


@pytest.mark.parametrize("name", ["prod", "dev", "ci"])
def test_keda_finds_the_broker_from_its_own_namespace(name: str) -> None:
    one = rendered(K8S / "overlays" / name)
    (settings,) = (made["data"] for made in one.of("ConfigMap").values() if "MULTIMOOD_KAFKA_BROKERS" in made["data"])
    host, _, port = settings["MULTIMOOD_KAFKA_BROKERS"].partition(":")
    (namespace,) = one.of("Namespace")
    assert host.partition(".")[2] == f"{namespace}.svc"
    if name == "prod":
        assert (host.partition(".")[0], port) == ("multimood-kafka-bootstrap", "9093")
    else:  # the broker calls itself what its clients call it: they are sent on to that name
        (container,) = one.of("StatefulSet")["kafka"]["spec"]["template"]["spec"]["containers"]
        assert {"name": "ADVERTISED_HOST", "value": host} in container["env"]


def test_the_joiner_goes_down_slowest() -> None:
    def window(name: str) -> int:
        behaviour = prod().of("ScaledObject")[name]["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        return int(behaviour["scaleDown"]["stabilizationWindowSeconds"])

    assert all(
        window("multimood-joiner") > window(name) for name in prod().of("ScaledObject") if name != "multimood-joiner"
    )


def test_an_account_may_do_what_its_service_does() -> None:
    accounts = {one["metadata"]["name"]: one["spec"]["authorization"]["acls"] for one in users()}
    for service in SERVICES:
        rules = accounts[f"multimood-{service.name.replace('_', '-')}"]
        may = {
            operation: {
                r["resource"]["name"]
                for r in rules
                if r["resource"]["type"] == "topic" and operation in r["operations"]
            }
            for operation in ("Read", "Write")
        }
        access = ACCESS[service.name]
        assert may == {"Read": set(access.reads), "Write": set(access.written)}
        assert all(rule["resource"]["patternType"] == "literal" for rule in rules)


def test_each_pod_has_the_account_of_its_own_service() -> None:
    for service in SERVICES:
        name = f"multimood-{service.name.replace('_', '-')}"
        pod = prod().of("Deployment")[name]["spec"]["template"]["spec"]
        secrets = {one["name"]: one["secret"]["secretName"] for one in pod["volumes"] if "secret" in one}
        assert secrets["kafka"] == name
        assert secrets["kafka-ca"] == "multimood-cluster-ca-cert"


def test_every_secret_that_is_read_is_in_the_guide_or_made_by_strimzi() -> None:
    made = {one["metadata"]["name"] for one in users()} | {"multimood-cluster-ca-cert"}
    told = {row.split("`")[1]: row for row in GUIDE.splitlines() if row.startswith("| `multimood-")}
    for folder in overlays():
        for name, secret, key in set(secrets(rendered(folder))):
            if secret not in made:
                assert secret in told, f"{name} reads Secret {secret}, of which the guide says nothing"
                assert not key or f"`{key}`" in told[secret], f"{name} reads {key} of Secret {secret}: not in the guide"


def secrets(one: Rendered) -> Iterator[tuple[str, str, str]]:
    """Pods, and the Secrets and keys of them that they read; no key: all of them, as files."""
    for name, pod, _ in pods(one):
        yield from (
            (name, volume["secret"]["secretName"], "") for volume in pod.get("volumes", ()) if "secret" in volume
        )
        for container in pod["containers"]:
            for variable in container.get("env", ()):
                if "secretKeyRef" in (source := variable.get("valueFrom", {})):
                    yield name, source["secretKeyRef"]["name"], source["secretKeyRef"]["key"]


ADDRESS = re.compile(r"^(?:http://)?([a-z0-9-]+)(?:\.[a-z0-9-]+\.svc)?:(\d+)(?:/v1)?$")
OUTSIDE = {"overlays/prod": {"MULTIMOOD_KAFKA_BROKERS"}, "overlays/vllm": {"MULTIMOOD_KAFKA_BROKERS"}}
"""Addresses of Services that an operator makes."""


@pytest.mark.parametrize("folder", ["overlays/dev", "overlays/ci", "overlays/prod", "overlays/vllm"])
def test_every_address_is_a_service_and_port_of_the_overlay(folder: str) -> None:
    one = rendered(K8S / folder)
    ports = {name: {port["port"] for port in made["spec"]["ports"]} for name, made in one.of("Service").items()}
    (config,) = [made["data"] for made in one.of("ConfigMap").values() if "MULTIMOOD_KAFKA_BROKERS" in made["data"]]
    found = {variable: match.groups() for variable, value in config.items() if (match := ADDRESS.match(value))}
    assert {"MULTIMOOD_KAFKA_BROKERS", "MULTIMOOD_TRITON_URL"} <= found.keys()
    for variable, (name, port) in found.items():
        if variable not in OUTSIDE.get(folder, ()):
            assert int(port) in ports[name], variable


# --- monitoring ------------------------------------------------------------------------------------------------------


@cache
def measured() -> set[str]:
    """Names that the code's metrics have on the page that Prometheus reads."""
    names: set[str] = set()
    source = "\n".join(path.read_text() for top in ("multimood", "services") for path in (ROOT / top).rglob("*.py"))
    for kind, name, rest in re.findall(r'create_(\w+)\(\s*"([\w.]+)"(.*)', source):
        full = name.replace(".", "_") + ("_milliseconds" if kind == "histogram" else "")
        assert kind != "histogram" or 'unit="ms"' in rest or 'unit="ms"' in source[source.index(name) :][:200]
        names |= parts(kind, full)
    for kind, name in re.findall(r'= (Tally|Durations|Scores|Level)\(\s*"(\w+)"', source):
        names |= parts(
            {"Tally": "counter", "Level": "gauge"}.get(kind, "histogram"),
            name + ("_milliseconds" if kind == "Durations" else ""),
        )
    return names


def parts(kind: str, name: str) -> set[str]:
    if kind == "histogram":
        return {f"{name}_{part}" for part in ("bucket", "sum", "count")}
    return {f"{name}_total"} if kind == "counter" else {name}


OTHERS = {"kafka": "Strimzi's exporter", "kube": "kube-state-metrics", "nv": "Triton"}


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_alerts_and_dashboards_ask_for_metrics_that_the_code_has(where: str, expression: str) -> None:
    metrics = {name for name, _ in asked(expression)}
    assert metrics, where
    own = {name for name in metrics if name.partition("_")[0] not in OTHERS}
    assert own <= measured(), (where, own - measured())


def test_what_is_no_promql_is_found() -> None:
    with pytest.raises(ValueError, match="unclosed"):
        asked("sum by (a) (rate(multimood_events_total[5m])")
    assert asked('sum by (le) (rate(a{b="c"}[5m])) / d > 1') == {("a", frozenset({"le", "b"})), ("d", frozenset())}


def test_the_dashboards_show_what_an_operator_asks_for() -> None:
    shown = " ".join(expression for _, expression in expressions())
    assert len(measured()) > 50
    for metric in (
        "multimood_hop_duration", "kafka_consumergroup_lag", "multimood_events_total", "multimood_joined_modalities",
        "multimood_decisions_total", "multimood_trust_score", "multimood_escalations_oldest", "[.]dlq",
    ):  # fmt: skip
        assert metric in shown


def test_every_alert_leads_to_a_line_of_the_guide() -> None:
    headings = {line.removeprefix("### ") for line in GUIDE.splitlines() if line.startswith("### ")}
    for rule in rules():
        assert rule["alert"] in headings
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["annotations"]["summary"]
    assert {heading for heading in headings if heading.startswith("Multimood")} == {rule["alert"] for rule in rules()}


def test_the_collector_takes_and_gives() -> None:
    (text,) = [
        one["data"]["collector.yaml"]
        for name, one in prod().of("ConfigMap").items()
        if name.startswith("multimood-collector")
    ]
    config = yaml.safe_load(text)
    for pipeline in config["service"]["pipelines"].values():
        for part in ("receivers", "processors", "exporters"):
            assert set(pipeline[part]) <= set(config[part])
    assert config["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].endswith(":4317")


# --- the guide -------------------------------------------------------------------------------------------------------


def test_the_capacity_in_the_guide_is_what_the_command_says() -> None:
    for row in (HEAD, *rows(turn(measured_costs(), audio=0.3, video=0.1))):
        assert f"| {' | '.join(row)} |" in GUIDE


def test_more_talk_needs_more() -> None:
    words, films = (turn(measured_costs(), audio=0, video=share) for share in (0, 1))
    assert films.triton > words.triton
    assert [row[1] for row in rows(words, every_s=10)] != [row[1] for row in rows(words)]


def test_the_command_says_what_it_needs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for argv, needed in ((["check"], "--built"), (["check", "--built", str(tmp_path), "--kubectl", "/none"], "/none")):
        with pytest.raises(SystemExit) as ended:
            main(argv)
        assert ended.value.code == 2
        assert needed in capsys.readouterr().err
