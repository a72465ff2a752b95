"""skaffold.yaml: against its schema, and rendered by the real program for every profile."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from tools.manifests.render import ROOT, Rendered, documents, run

FILE = ROOT / "skaffold.yaml"


def config() -> dict[str, Any]:
    """The file as it stands."""
    read: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return read


def profiles() -> list[str]:
    """The names of its profiles; "" is what there is without one."""
    return ["", *(profile["name"] for profile in config()["profiles"])]


def faults(schema: Path) -> Iterator[str]:
    """What the schema of its version says against it."""
    for error in jsonschema.Draft7Validator(json.loads(schema.read_text())).iter_errors(config()):
        yield f"skaffold.yaml: {error.json_path}: {error.message}"


def rendered(skaffold: str, kubectl: str, profile: str) -> Rendered:
    """What skaffold would deploy, without a cluster and without images.

    Raises:
        RenderError: it refuses.
    """
    argv = [skaffold, "render", "--offline=true", "--digest-source=none"]
    argv += [f"--profile={profile}"] if profile else []
    with tempfile.TemporaryDirectory() as home:
        # Not from its standard output, where it says other things, too. It calls `kubectl` by that name.
        output = Path(home) / "rendered.yaml"
        path = f"{Path(kubectl).absolute().parent}:{os.environ['PATH']}" if "/" in kubectl else os.environ["PATH"]
        run([*argv, f"--output={output}"], HOME=home, PATH=path)
        return Rendered(f"skaffold {profile or 'run'}", documents(output.read_text()))
