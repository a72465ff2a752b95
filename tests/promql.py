"""What the alerts and dashboards of k8s/ ask Prometheus for."""

import json
from collections.abc import Iterator
from typing import Any

import promql_parser as promql
import yaml

from multimood.local.places import checkout
from tools.manifests.generated import wanted

COMPONENT = checkout() / "k8s" / "components" / "monitoring"
GRAFANA = "$__rate_interval"


def rules() -> list[dict[str, Any]]:
    """The alerts."""
    content = yaml.safe_load((COMPONENT / "alerts.yaml").read_text())
    return [rule for group in content["spec"]["groups"] for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    """Alerts and panels with their PromQL, in which Grafana's variable has a value."""
    yield from ((rule["alert"], rule["expr"]) for rule in rules())
    for path, text in wanted().items():
        if path.suffix == ".json":
            for panel in json.loads(text)["panels"]:
                yield from ((panel["title"], target["expr"].replace(GRAFANA, "5m")) for target in panel["targets"])


def asked(expression: str) -> set[tuple[str, frozenset[str]]]:
    """Every metric in an expression with the labels that it must have. Raises ValueError for what is no PromQL."""
    found: set[tuple[str, frozenset[str]]] = set()

    def look(node: Any, labels: frozenset[str]) -> None:
        if isinstance(node, promql.VectorSelector):
            own = {matcher.name for matcher in node.matchers.matchers}
            found.add((node.name, labels | own))
            return
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            labels = labels | set(node.modifier.labels)
        for name in ("expr", "lhs", "rhs", "vector_selector"):
            if (child := getattr(node, name, None)) is not None:
                look(child, labels)
        for child in getattr(node, "args", None) or ():
            look(child, labels)

    look(promql.parse(expression), frozenset())
    return found
