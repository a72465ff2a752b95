"""`python -m tools.cluster run -- COMMAND`: a cluster for as long as the command runs, which finds it by KUBECONFIG."""

import argparse
import fcntl
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.cluster import kubectl, node, places, sandbox
from tools.cluster.deploy import SERVERS, SERVICES
from tools.cluster.places import CHECKOUT, ClusterError, programs, work
from tools.cluster.progress import say

PARTS = ["kubernetes", "coredns", "calico"]
IMAGES = ["pause", "coredns", *SERVICES, *SERVERS]
ADDONS = {
    "parts": ("keda", "metrics-server", "crds"),
    "images": ("keda-operator", "keda-adapter", "metrics-server", "training"),
}


def run(command: Sequence[str], *, parts: Sequence[str] = (), images: Sequence[str] = ()) -> int:
    """Build what is missing, with these parts and images besides, then run this program again inside new namespaces."""
    places.install()
    for script, names in (("build.sh", [*PARTS, *parts]), ("images.sh", [*IMAGES, *images])):
        say(f"tools/cluster/{script}: building what is missing (at the first time this takes long)")
        done = subprocess.run([CHECKOUT / "tools/cluster" / script, *names], stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise ClusterError(f"tools/cluster/{script} failed: see above")
    lock = (programs() / "node.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another cluster runs here: waiting for its end")
        fcntl.flock(lock, fcntl.LOCK_EX)
    code = sandbox.enter_new([sys.executable, "-m", "tools.cluster", "inside", "--", *command])
    say("everything is down")
    return code


def inside(command: Sequence[str]) -> int:
    """Start the cluster, run the command, end the cluster; with process 1 the kernel ends whatever is left."""
    node.clear(work())
    sandbox.furnish(work())
    node.start(work(), say)
    code = subprocess.run(command, env=kubectl.environment(), check=False).returncode
    kubectl.works("delete", "pods", "--all", "--all-namespaces", "--grace-period=1", "--wait=true", "--timeout=30s")
    return code


def enter(command: Sequence[str]) -> int:
    """Run a command inside the cluster that runs now."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            argv = (process / "cmdline").read_bytes().split(b"\0")
            variables = (process / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has ended
            continue
        if argv[0] != os.fsencode(sys.executable) or b"tools.cluster" not in argv or b"inside" not in argv:
            continue
        ours = dict(one.split("=", 1) for one in variables if one.startswith(f"{sandbox.CGROUP}="))
        namespaces = ["nsenter", "--target", process.name, "--mount", "--net", "--pid", "--uts", f"--wd={Path.cwd()}"]
        return subprocess.run([*namespaces, *command], env=kubectl.environment() | ours, check=False).returncode
    raise ClusterError("no cluster runs: `python -m tools.cluster run -- COMMAND` starts one")


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.cluster", description=__doc__, usage="%(prog)s [--addons] WHAT -- COMMAND..."
    )
    parser.add_argument(
        "what",
        choices=("run", "enter", "inside"),
        help="run: start one; enter: look into the one that runs; inside: used by run",
    )
    parser.add_argument(
        "--addons", action="store_true", help="run: build KEDA, metrics-server and the definitions of custom kinds, too"
    )
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    given, command = parser.parse_args(sys.argv[1:at]), sys.argv[at + 1 :]
    if not command:
        parser.error("give a command after `--`, for instance: run -- kubectl get pods -A")
    try:
        if given.what == "run":
            return run(command, **(ADDONS if given.addons else {}))
        return {"inside": inside, "enter": enter}[given.what](command)
    except ClusterError as error:
        print(f"tools.cluster: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
