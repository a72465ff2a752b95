"""Topics and accounts as Strimzi's resources, from the topics module and from what each service reads and writes."""

from typing import Any, Final

from multimood.access import NAMES, acls_of, strimzi
from multimood.bus.admin import wanted
from multimood.settings import KafkaSettings

CLUSTER: Final = "multimood"
API: Final = "kafka.strimzi.io/v1"
PARTITIONS: Final = 12
REPLICAS: Final = 3
ACCOUNTS: Final = tuple(name for name in NAMES if name != "topics")
"""Topics are Strimzi's own to make."""
DEFAULTS: Final = KafkaSettings.model_construct()
"""Not from this machine's environment: what is committed must be the same everywhere."""

Manifest = dict[str, Any]


def topics() -> list[Manifest]:
    """Every topic, dead letters included, as KafkaTopics."""
    shape = {"partitions": PARTITIONS, "replicas": REPLICAS}
    return [
        _resource("KafkaTopic", name, {**shape, "config": dict(sorted(config.items()))})
        for name, config in sorted(wanted(DEFAULTS).items())
    ]


def users() -> list[Manifest]:
    """KafkaUsers: an account for every service, for the commands of an operator, and for KEDA."""
    return [
        _resource(
            "KafkaUser",
            f"multimood-{name.replace('_', '-')}",
            {
                "authentication": {"type": "tls"},
                "authorization": {
                    "type": "simple",
                    "acls": [strimzi(acl) for acl in acls_of(name, DEFAULTS.group_prefix)],
                },
            },
        )
        for name in ACCOUNTS
    ]


def _resource(kind: str, name: str, spec: Manifest) -> Manifest:
    metadata = {"name": name, "labels": {"strimzi.io/cluster": CLUSTER}}
    return {"apiVersion": API, "kind": kind, "metadata": metadata, "spec": spec}
