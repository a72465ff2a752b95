"""Containerd: what runs the containers, and where their images lie from one cluster to the next."""

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from tools.cluster import places
from tools.cluster.places import ClusterError

PAUSE: Final = "localhost/multimood/pause:ci"
NAMESPACE: Final = "k8s.io"


def socket(work: Path) -> Path:
    """Where it listens."""
    return work / "containerd.sock"


def configure(work: Path) -> list[str]:
    """Write its configuration; gives the command that runs it."""
    # Without CAP_SYS_RESOURCE a container's limits and OOM score cannot be raised: leave them as they are here.
    spec = json.loads(_output("ctr", "oci", "spec"))
    spec["process"]["rlimits"] = []
    (work / "container.json").write_text(json.dumps(spec))
    cri = "io.containerd.grpc.v1.cri"
    (work / "containerd.toml").write_text(
        f"""\
version = 2
root = "{places.images()}"
state = "{work}/containerd"
[grpc]
  address = "{socket(work)}"
[plugins."{cri}"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
[plugins."{cri}".cni]
  bin_dir = "{work}/plugins"
  conf_dir = "{work}/net"
[plugins."{cri}".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  base_runtime_spec = "{work}/container.json"
"""
    )
    return ["containerd", "--config", str(work / "containerd.toml")]


def is_up(work: Path) -> bool:
    """Ask it for its version."""
    return subprocess.run([*_ctr(work), "version"], capture_output=True, check=False).returncode == 0


def forget_containers(work: Path) -> None:
    """Remove what a cluster that was killed left in the kept store; only images shall stay."""
    for kind in ("tasks", "containers"):
        for one in _output(*_ctr(work), kind, "ls", "--quiet").split():
            subprocess.run([*_ctr(work), kind, "rm", one], capture_output=True, check=False)


def take_images(work: Path, names: Iterable[str], say: Callable[[str], None] = lambda _: None) -> None:
    """Bring buildah's images into containerd, those that are new or have changed, telling of each.

    Raises:
        ClusterError: an image was not built, or cannot be imported.
    """
    noted = places.images() / "multimood.json"
    known: dict[str, str] = json.loads(noted.read_text()) if noted.exists() else {}
    there = set(_output(*_ctr(work), "images", "ls", "--quiet").split())
    for name in names:
        built = _output("buildah", "inspect", "--type", "image", "--format", "{{.FromImageID}}", image_of(name)).strip()
        if image_of(name) in there and known.get(image_of(name)) == built:
            continue
        # One after the other: what one brings in may be collected while another builds on it.
        _take(work, name)
        known[image_of(name)] = built
        noted.write_text(json.dumps(known, indent=1))
        say(f"image {name} is in containerd")


def image_of(name: str) -> str:
    """What tools/cluster/images.sh calls it."""
    return f"localhost/multimood/{name}:ci"


def _take(work: Path, name: str) -> None:
    with tempfile.TemporaryDirectory(dir=places.programs()) as folder:
        archive = f"{folder}/image.tar"
        _output("buildah", "push", "--quiet", image_of(name), f"docker-archive:{archive}:{image_of(name)}")
        _output(*_ctr(work), "images", "import", "--snapshotter", "overlayfs", archive)


def _ctr(work: Path) -> list[str]:
    return ["ctr", "--address", str(socket(work)), "--namespace", NAMESPACE]


def _output(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"`{' '.join(argv)}` failed: {done.stderr.strip()[-1000:]}")
    return done.stdout
