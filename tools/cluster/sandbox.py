"""Namespaces of its own for the node: no port of the machine is used, nothing of it is changed, and all ends together.

Two levels: outside, `enter_new` makes the namespaces and a cgroup and waits; inside, `furnish` makes the machine look
as a node has to. Catatonit is process 1 inside and takes in the orphans that containerd leaves.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tools.cluster.places import ClusterError, programs

CGROUPS: Final = Path("/sys/fs/cgroup")
CGROUP: Final = "MULTIMOOD_CLUSTER_CGROUP"
ADDRESS: Final = "10.250.0.1"
"""Of the node, on a link that leads nowhere."""
DNS: Final = "10.96.0.10"
"""Of the cluster's DNS, a Service like others."""
SEARCH: Final = "multimood-ci.svc.cluster.local svc.cluster.local cluster.local"
_WRITTEN: Final = (
    "/run/containerd", "/run/netns", "/run/calico", "/var/run/calico", "/var/lib/cni", "/var/lib/calico",
    "/var/lib/kubelet", "/var/log/pods", "/var/log/containers",
)  # fmt: skip
"""Folders that the parts write to whatever they are told: empty inside, and gone afterwards."""
_WEIGHT: Final = {"cpu.shares": 4 * 1024, "cpu.weight": 4 * 100}
"""All pods together count as four processes of the machine. As one they would hardly get on beside other work; as a
dozen they leave kubelet, API server and the kernel's own threads without a processor while all of them start."""
_SYSCTLS: Final = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/keys/root_maxbytes": 25_000_000,
}
"""What the kubelet insists on."""


def enter_new(command: Sequence[str]) -> int:
    """Run the command in new namespaces and a new cgroup; gives its exit code when everything of it is gone."""
    name = f"multimood-{os.getpid()}"
    folders = _make_cgroup(name)
    argv = ["unshare", "--net", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]
    argv += ["--propagation", "private", "catatonit", "--", *command]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as after Ctrl-C: not without what is in `finally`
    outer = subprocess.Popen(argv, env=os.environ | {CGROUP: name})
    try:
        return outer.wait()
    finally:
        outer.kill()  # unshare takes process 1 with it, and that one everything
        outer.wait()
        _remove_cgroup(folders)


def hindered() -> str | None:
    """Say what of this the machine does not allow, having tried it and undone it; None if it allows all of it."""
    try:
        _remove_cgroup(_make_cgroup(f"multimood-trial-{os.getpid()}"))
    except OSError as error:
        return f"no cgroup can be made: {error}"
    with tempfile.TemporaryDirectory(dir=_nearest(programs())) as folder:
        for name in ("lower", "upper", "work", "at"):
            (Path(folder) / name).mkdir()
        layers = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
        inside = ["mount", "-t", "overlay", "overlay", "-o", layers, f"{folder}/at"]
        argv = ["unshare", "--net", "--mount", "--pid", "--uts", "--fork", "--mount-proc", "--propagation", "private"]
        done = subprocess.run([*argv, *inside], capture_output=True, text=True, check=False)
    return f"no namespaces with overlay mounts: {done.stderr.strip()}" if done.returncode else None


def _nearest(folder: Path) -> Path:
    """The folder, or what is there of the way to it."""
    return folder if folder.is_dir() else _nearest(folder.parent)


def furnish(scratch: Path) -> None:
    """Give the namespaces what a node needs: a name, a link, empty folders, the sysctls that the kubelet asks for."""
    _run("hostname", "node")
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "link", "add", "uplink", "type", "bridge")
    _run("ip", "address", "add", f"{ADDRESS}/24", "dev", "uplink")
    _run("ip", "link", "set", "uplink", "up")
    _run("ip", "route", "add", "default", "dev", "uplink")
    # Half of a cgroup v2 beside v1 confuses containerd; all of v1 is what it gets.
    if (CGROUPS / "unified").is_mount():
        _run("umount", str(CGROUPS / "unified"))
    for folder in _WRITTEN:
        Path(folder).mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "tmpfs", folder)
    _run("mount", "--make-rshared", "/")
    # Shown to the kubelet as files; the kernel's own are the machine's and stay as they are.
    for at, value in _SYSCTLS.items():
        file = scratch / "sysctl" / at
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
        _run("mount", "--bind", str(file), f"/proc/sys/{at}")
    # Names are those of the cluster, here as in the system's pods.
    (scratch / "resolv.conf").write_text(f"nameserver {DNS}\nsearch {SEARCH}\noptions ndots:5\n")
    _run("mount", "--bind", str(scratch / "resolv.conf"), "/etc/resolv.conf")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")
    bridged = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if bridged.exists():
        bridged.write_text("1\n")


def _is_v1() -> bool:
    return not (CGROUPS / "cgroup.controllers").exists()


def _make_cgroup(name: str) -> list[Path]:
    """Make it in every hierarchy, of v1 or of v2."""
    parents = [one for one in CGROUPS.iterdir() if one.is_dir() and one.name != "unified"] if _is_v1() else [CGROUPS]
    folders = [parent / name for parent in parents if not parent.is_symlink()]
    for folder in folders:
        folder.mkdir(exist_ok=True)
        for inherited in ("cpuset.cpus", "cpuset.mems"):  # of v1; empty at first, and then nothing may run in it
            if _is_v1() and (folder / inherited).exists():
                (folder / inherited).write_text((folder.parent / inherited).read_text())
        for file, weight in _WEIGHT.items():
            if (folder / file).exists():
                (folder / file).write_text(f"{weight}\n")
    return folders


def _remove_cgroup(folders: Sequence[Path]) -> None:
    for folder in folders:
        below = sorted((one for one in folder.rglob("*") if one.is_dir()), key=lambda one: -len(one.parts))
        for one in [*below, folder]:
            for _ in range(50):  # a process that was killed takes a moment to leave
                try:
                    one.rmdir()
                    break
                except OSError:
                    time.sleep(0.1)


def _run(*argv: str) -> None:
    program = shutil.which(argv[0], path="/usr/sbin:/usr/bin:/sbin:/bin")
    done = subprocess.run([program or argv[0], *argv[1:]], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"`{' '.join(argv)}` failed: {done.stderr.strip()}")
