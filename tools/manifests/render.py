"""Kustomize's output: of the overlays, and of every component and every two of them on the base."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
K8S: Final = ROOT / "k8s"
NEEDS: Final = {
    "gpu": ("triton",),
    "triton-models-s3": ("triton",),
    "keda-tls": ("strimzi", "keda"),
    "outside-store": ("network-policies",),
}
"""Components that change others, and so come after them."""
EXCLUDE: Final = frozenset({frozenset({"strimzi", "embedded"})})
"""Two brokers at once make no sense."""
LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The parser in C takes a tenth of the time."""

Manifest = dict[str, Any]


class RenderError(Exception):
    """Kustomize, or skaffold, refused; says what it said."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a folder, or components on the base, come to."""

    name: str
    manifests: tuple[Manifest, ...]

    def of(self, kind: str) -> dict[str, Manifest]:
        """Manifests of a kind by name."""
        return {one["metadata"]["name"]: one for one in self.manifests if one["kind"] == kind}


def kustomize(folder: Path, kubectl: str = "kubectl", name: str = "") -> Rendered:
    """Render a folder.

    Raises:
        RenderError: it cannot be.
    """
    text = run([kubectl, "kustomize", str(folder)])
    return Rendered(name or str(folder.relative_to(K8S)), documents(text))


def documents(text: str) -> tuple[Manifest, ...]:
    """The documents of a YAML text, but for empty ones."""
    return tuple(one for one in yaml.load_all(text, Loader=LOADER) if one)


def run(argv: Sequence[str], **env: str) -> str:
    """Run a command in the checkout; gives what it printed.

    Raises:
        RenderError: it failed.
    """
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **env}, check=False)  # noqa: S603
    if done.returncode:
        raise RenderError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def overlays() -> list[Path]:
    """The base and every overlay."""
    return [K8S / "base", *sorted(path.parent for path in (K8S / "overlays").glob("*/kustomization.yaml"))]


def components() -> list[str]:
    """Names of all components."""
    return sorted(path.parent.name for path in (K8S / "components").glob("*/kustomization.yaml"))


def mixtures(most: int = 2) -> list[tuple[str, ...]]:
    """Up to so many components at once, each with what it needs before it."""
    found = {_with_needs(chosen) for count in range(1, most + 1) for chosen in combinations(components(), count)}
    return sorted(one for one in found if not any(pair <= set(one) for pair in EXCLUDE))


def mixed(chosen: Sequence[str], kubectl: str = "kubectl") -> Rendered:
    """Components on the base, in that order.

    Raises:
        RenderError: they do not go together.
    """
    with tempfile.TemporaryDirectory() as folder:
        k8s = os.path.relpath(K8S, Path(folder).resolve())  # kustomize takes no absolute paths
        content = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "mixed",
            "resources": [f"{k8s}/base"],
            "components": [f"{k8s}/components/{name}" for name in chosen],
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(content))
        return kustomize(Path(folder), kubectl, "base + " + " + ".join(chosen))


def _with_needs(chosen: Sequence[str]) -> tuple[str, ...]:
    ordered: list[str] = []

    def add(name: str) -> Iterator[str]:
        for need in NEEDS.get(name, ()):
            yield from add(need)
        yield name

    for one in chosen:
        ordered += [name for name in add(one) if name not in ordered]
    return tuple(ordered)
