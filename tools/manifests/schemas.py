"""Manifests against the schemas that the API server would hold them to, unknown fields included.

Kubernetes' own kinds by the package kubernetes-validate, custom ones by the definitions that their projects publish.
Rules in CEL are not looked at: for those it takes a server.
"""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate
import yaml

from tools.manifests.render import LOADER

VERSIONS: Final = ("1.34", "1.37")
"""The oldest and the newest Kubernetes that the manifests are for."""

DATA: Final = frozenset({"default", "enum", "example"})
"""Keys of a schema whose values are no schemas."""

# The library reads its files, of which one is large, anew for every manifest: a third of the time that a check takes.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)

Schema = dict[str, Any]
Kind = tuple[str, str]


class _Loader(LOADER):  # type: ignore[misc]
    """Takes a lone `=` for the text that it is, as everybody but YAML 1.1 does."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: loader.construct_scalar(node))


def definitions(folder: Path) -> dict[Kind, Schema]:
    """The schema of every version of every custom kind that the folder's YAML files define, by apiVersion and kind."""
    found: dict[Kind, Schema] = {}
    for path in sorted(folder.glob("*.y*ml")):
        for document in yaml.load_all(path.read_text(), Loader=_Loader):
            if document and document["kind"] == "CustomResourceDefinition":
                spec = document["spec"]
                for version in spec["versions"]:
                    schema = strict(version["schema"]["openAPIV3Schema"])
                    # What every object has is the server's to check.
                    schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {"type": "object"}}
                    found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return found


def strict(schema: Any) -> Any:
    """A definition's schema as JSON schema that refuses fields which the server would drop."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    told = {key: value if key in DATA else strict(value) for key, value in schema.items() if key != "properties"}
    if "properties" in schema:
        told["properties"] = {name: strict(field) for name, field in schema["properties"].items()}
    if told.get("x-kubernetes-int-or-string"):
        told.pop("type", None)
        told["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if told.get("nullable") and "type" in told:
        told["type"] = [told["type"], "null"]
    is_open = told.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in told
    if told.get("type") == "object" and "properties" in told and not is_open:
        told["additionalProperties"] = False
    return told


def faults(manifest: Mapping[str, Any], custom: Mapping[Kind, Schema]) -> Iterator[str]:
    """What the schemas say against a manifest. A kind of which nobody has a schema is a fault, too."""
    kind: Kind = (manifest["apiVersion"], manifest["kind"])
    if kind in custom:
        for error in jsonschema.Draft202012Validator(custom[kind]).iter_errors(manifest):
            yield f"{error.json_path}: {error.message}"
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{'.'.join(map(str, error.path))}: {error.message} (Kubernetes {version})"
        except kubernetes_validate.SchemaNotFoundError:
            yield f"there is no schema of {kind[0]} {kind[1]}: neither Kubernetes {version} nor a known project has it"
