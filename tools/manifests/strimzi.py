"""Topics and accounts as Strimzi's resources, from the topics module and from what each service reads and writes."""

from typing import Any, Final

from multimood.access import WRITERS, access_of
from multimood.bus.admin import wanted
from multimood.settings import KafkaSettings

CLUSTER: Final = "multimood"
API: Final = "kafka.strimzi.io/v1"
PARTITIONS: Final = 12
REPLICAS: Final = 3
OPERATOR: Final = "multimood-operator"
SCALER: Final = "multimood-keda"
READ: Final = ["Read", "Describe"]
WRITE: Final = ["Write", "Describe"]

Manifest = dict[str, Any]


def topics() -> list[Manifest]:
    """Every topic, dead letters included, as KafkaTopics."""
    # Not from this machine's environment: what is committed must be the same everywhere.
    settings = KafkaSettings.model_construct()
    shape = {"partitions": PARTITIONS, "replicas": REPLICAS}
    return [
        _resource("KafkaTopic", name, {**shape, "config": dict(sorted(config.items()))})
        for name, config in sorted(wanted(settings).items())
    ]


def users() -> list[Manifest]:
    """An account for every service with what it needs, and one for the command line."""
    prefix = KafkaSettings.model_construct().group_prefix
    return [*(_user(service, prefix) for service in WRITERS), _operator(prefix), _scaler(prefix)]


def _user(service: str, prefix: str) -> Manifest:
    access = access_of(service)
    both = sorted(set(access.reads) & set(access.writes))
    rules = [_rule("topic", name, [*READ, "Write"]) for name in both]
    rules += [_rule("topic", name, READ) for name in access.reads if name not in both]
    rules += [_rule("topic", name, WRITE) for name in access.writes if name not in both]
    if access.has_group:
        rules.append(_rule("group", f"{prefix}.{service}", READ))
    return _account(f"multimood-{service.replace('_', '-')}", rules)


def _operator(prefix: str) -> Manifest:
    """Of `multimood erase`, `dlq`, `check`, `escalations`: all topics and groups of this system, and no others."""
    everything = ["Read", "Write", "Describe", "Delete", "DescribeConfigs", "AlterConfigs"]
    return _account(
        OPERATOR,
        [
            _rule("topic", "multimood.", everything, pattern="prefix"),
            _rule("group", f"{prefix}.", READ, pattern="prefix"),
        ],
    )


def _scaler(prefix: str) -> Manifest:
    """Of KEDA, which sees how far a group is behind."""
    return _account(
        SCALER,
        [
            _rule("topic", "multimood.", ["Describe"], pattern="prefix"),
            _rule("group", f"{prefix}.", ["Describe"], pattern="prefix"),
        ],
    )


def _account(name: str, rules: list[Manifest]) -> Manifest:
    return _resource(
        "KafkaUser", name, {"authentication": {"type": "tls"}, "authorization": {"type": "simple", "acls": rules}}
    )


def _rule(kind: str, name: str, operations: list[str], pattern: str = "literal") -> Manifest:
    return {"resource": {"type": kind, "name": name, "patternType": pattern}, "operations": operations}


def _resource(kind: str, name: str, spec: Manifest) -> Manifest:
    metadata = {"name": name, "labels": {"strimzi.io/cluster": CLUSTER}}
    return {"apiVersion": API, "kind": kind, "metadata": metadata, "spec": spec}
