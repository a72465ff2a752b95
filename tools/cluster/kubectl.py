"""kubectl, as the administrator of the cluster that this process runs inside."""

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

from tools.cluster.places import ClusterError, program, work


def environment() -> dict[str, str]:
    """Environment in which kubectl, and whoever calls it, finds the cluster."""
    path = f"{program('')}:/usr/sbin:/usr/bin:/sbin:/bin:{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "KUBECONFIG": str(work() / "admin.kubeconfig")}


def ask(*arguments: str, given: str | Mapping[str, Any] | None = None, within_s: float = 60.0) -> str:
    """Run kubectl; `given` is its input, a manifest as text or as a mapping.

    Raises:
        ClusterError: it failed; the message is its own.
    """
    text = given if given is None or isinstance(given, str) else json.dumps(given)
    try:
        done = subprocess.run(
            [program("kubectl"), *arguments], env=environment(), input=text, capture_output=True, text=True,
            timeout=within_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ClusterError(f"`kubectl {' '.join(arguments)}` took more than {within_s:.0f} s") from None
    if done.returncode:
        raise ClusterError(f"`kubectl {' '.join(arguments)}` failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def get(*arguments: str) -> Any:
    """Give the object, or the list, that `kubectl get` finds."""
    return json.loads(ask("get", *arguments, "--output", "json"))


def works(*arguments: str) -> bool:
    """Tell whether kubectl does that without an error."""
    try:
        ask(*arguments)
    except ClusterError:
        return False
    return True
