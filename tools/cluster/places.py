"""Where the built programs, the images and the running cluster's files lie: all of it outside the checkout."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parents[2]
DEBIAN: Final = {
    "buildah": "buildah",
    "catatonit": "catatonit",
    "conntrack": "conntrack",
    "containerd": "containerd",
    "ip": "iproute2",
    "ipset": "ipset",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "runc": "runc",
}
"""Programs of the machine, and the Debian packages that have them."""
PLUGINS: Final = Path("/usr/lib/cni")
"""The plain CNI plugins, of Debian's containernetworking-plugins."""


class ClusterError(Exception):
    """Something of the cluster is missing or does not work; the message says what to do."""


@cache
def programs() -> Path:
    """Give the folder that tools/cluster/build.sh fills."""
    where = subprocess.run([CHECKOUT / "tools/cluster/build.sh", "--where"], check=True, capture_output=True, text=True)
    return Path(where.stdout.strip())


def program(name: str) -> str:
    """Give the path of a built program.

    Raises:
        ClusterError: it was not built.
    """
    path = programs() / name
    if not path.exists():
        raise ClusterError(f"{path} is missing: run tools/cluster/build.sh")
    return str(path)


def images() -> Path:
    """Containerd's own store: images lie unpacked in it from one cluster to the next."""
    return programs() / "containerd"


def work() -> Path:
    """Everything of the running cluster: its state, keys and logs. Written anew at each start."""
    return programs() / "node"


def lacking(names: Iterable[str] = DEBIAN) -> list[str]:
    """Name the Debian packages of the programs that are not on this machine."""
    search = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    absent = [DEBIAN[name] for name in names if shutil.which(name, path=search) is None]
    return absent + ([] if (PLUGINS / "portmap").exists() else ["containernetworking-plugins"])


def hindered() -> str | None:
    """Say why the Debian packages that are missing cannot be installed."""
    if os.geteuid():
        return "a node is made of namespaces, cgroups and mounts, which takes root"
    if (absent := lacking()) and shutil.which("apt-get") is None:
        return f"there is no apt-get to install {' '.join(absent)}"
    return None


def install() -> None:
    """Install the Debian packages that are missing, as root.

    Raises:
        ClusterError: not root, no Debian, or apt-get fails; the message has the command.
    """
    absent = lacking()
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *absent]
    if os.geteuid():
        raise ClusterError(
            "a node is made of namespaces, cgroups and mounts: run this as root"
            + (f", after `{' '.join(command)}`" if absent else "")
        )
    if not absent:
        return
    if shutil.which("apt-get") is None:
        raise ClusterError(f"please install with your package manager what Debian calls: {' '.join(absent)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for step in (["apt-get", "update", "-q"], command):
        done = subprocess.run(step, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(f"`{' '.join(step)}` failed: {done.stderr.strip()[-1000:]}")
