"""What `make cluster` shows, inside the cluster: the system comes up, one utterance goes in, its reply comes out."""

import subprocess
import sys

from tools.cluster import kubectl
from tools.cluster.deploy import NAMESPACE, Deployed, deploy
from tools.cluster.places import CHECKOUT, ClusterError
from tools.cluster.progress import say

UTTERANCE = "I have not slept for days, and nobody at work seems to notice."


def main() -> int:
    """Deploy, talk, tell."""
    try:
        there = deploy(say)
        say("every pod is Ready:")
        print(kubectl.ask("--namespace", NAMESPACE, "get", "pods"), flush=True)
        say(f"one utterance to {there.address}: {UTTERANCE}")
        code = talk(there)
    except ClusterError as error:
        print(f"make cluster: {error}", file=sys.stderr)
        return 1
    say("the reply is above" if code == 0 else "no reply came")
    return code


def talk(there: Deployed) -> int:
    """Say it with `multimood talk`, as a person would."""
    argv = [
        sys.executable,
        "-c",
        "from multimood.cli import app; app()",
        "talk",
        "--ca",
        there.authority,
        "--text",
        UTTERANCE,
    ]
    return subprocess.run(argv, env=there.platform, cwd=CHECKOUT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
