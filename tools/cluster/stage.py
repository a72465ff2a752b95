"""The part of `make test` that needs a Kubernetes: it runs, or says aloud that it was left out, and why.

`python -m tools.cluster.stage ask` says beforehand what will be, `... parts` what has to be built for it; without
either it is done. CLUSTER=0 leaves it out. A machine that cannot carry a node (no root, a container without privileges)
is told so and the other tests count; with CLUSTER=1 that is an error.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tools.cluster import sandbox
from tools.cluster.__main__ import PARTS, run
from tools.cluster.places import ClusterError, hindered

WHAT: Final = "the system on a Kubernetes (make cluster, tests/cluster)"
WITHOUT: Final = "CLUSTER=0 leaves it out"
STATIC: Final = ("crds", "skaffold")
"""What `make manifests` needs."""
TESTS: Final = '"$0" -m pytest -v -rs --durations=5 -m "not long" tests/cluster'
COMMAND: Final = ("sh", "-ec", f'"$0" -m tools.cluster.demo && {TESTS}', sys.executable)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the stage runs, and what is said of it."""

    runs: bool
    fails: bool
    text: str


def decide(environment: Mapping[str, str], hindrance: str | None) -> Verdict:
    """Judge by the variable CLUSTER, and by what hinders a node on this machine."""
    if environment.get("CLUSTER") == "0":
        return Verdict(runs=False, fails=False, text=f"LEFT OUT by CLUSTER=0: {WHAT}")
    if hindrance is None:
        return Verdict(runs=True, fails=False, text=f"{WHAT}: will run; {WITHOUT}")
    if environment.get("CLUSTER") == "1":
        return Verdict(runs=False, fails=True, text=f"{WHAT} cannot run here: {hindrance}. {WITHOUT}")
    return Verdict(runs=False, fails=False, text=f"LEFT OUT, for this machine cannot carry it: {WHAT}: {hindrance}")


def main(argv: list[str]) -> int:
    """Ask, or run."""
    verdict = decide(os.environ, hindered() or sandbox.hindered())
    if argv == ["parts"]:
        print(*(PARTS if verdict.runs else ()), *STATIC)
        return 0
    if argv == ["ask"] or not verdict.runs:
        print(f"==> {verdict.text}", flush=True)
        return int(verdict.fails)
    try:
        return run(COMMAND, parts=("crds",))
    except ClusterError as error:
        print(f"tools.cluster: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
