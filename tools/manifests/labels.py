"""Pods of a rendering, and which of them a label selector chooses."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tools.manifests.render import Manifest, Rendered

SERVING: Final = ("Deployment", "StatefulSet")


def pods(rendered: Rendered, *kinds: str) -> Iterator[tuple[str, Manifest, Mapping[str, str]]]:
    """Name, pod spec and labels of everything that makes pods, or of those kinds."""
    for one in rendered.manifests:
        kind, name = one["kind"], one["metadata"]["name"]
        if kind not in (kinds or (*SERVING, "Job", "CronJob")):
            continue
        spec = one["spec"]["jobTemplate"]["spec"] if kind == "CronJob" else one["spec"]
        template = spec["template"]
        yield f"{kind} {name}", template["spec"], template.get("metadata", {}).get("labels", {})


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects these labels."""
    for rule in selector.get("matchExpressions", ()):
        value, values = labels.get(rule["key"]), rule.get("values", ())
        found = {
            "In": value in values, "NotIn": value not in values, "Exists": value is not None,
            "DoesNotExist": value is None,
        }[rule["operator"]]  # fmt: skip
        if not found:
            return False
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
