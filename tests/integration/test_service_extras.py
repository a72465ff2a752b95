"""Each service starts with nothing but the packages of its own extra: what its image holds (see Containerfile)."""

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from multimood.local.services import SERVICES

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ASK = """
import runpy, sys

class Absent:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

module, absent = sys.argv[1], frozenset(sys.argv[2].split(","))
sys.meta_path.insert(0, Absent)
sys.argv = [module, "--help"]
runpy.run_module(module, run_name="__main__")
"""


def needed(extra: str) -> set[str]:
    """The distributions that the extra comes to, its dependencies' dependencies included."""
    found: set[str] = set()

    def follow(requirements: list[str], extras: set[str]) -> Iterator[Requirement]:
        for line in requirements:
            one = Requirement(line)
            if one.marker is None or any(one.marker.evaluate({"extra": each}) for each in extras | {""}):
                yield one

    pending = [Requirement(f"multimood[{extra}]")]
    while pending:
        one = pending.pop()
        name = canonicalize_name(one.name)
        if name == "multimood":
            for each in one.extras:
                pending += follow(PROJECT["optional-dependencies"][each], set())
            pending += follow(PROJECT["dependencies"], set())
        elif f"{name}{sorted(one.extras)}" not in found:
            found.add(f"{name}{sorted(one.extras)}")
            pending += follow(metadata.requires(name) or [], one.extras)
    return {each.partition("[")[0] for each in found}


@pytest.mark.parametrize("service", [service.name for service in SERVICES])
def test_starts_with_its_own_packages_alone(service: str) -> None:
    own = needed(service.replace("_", "-"))
    absent = {
        module
        for module, owners in metadata.packages_distributions().items()
        if not any(canonicalize_name(owner) in own | {"multimood"} for owner in owners)
    }
    assert "pytest" in absent
    argv = [sys.executable, "-c", ASK, f"services.{service}", ",".join(sorted(absent))]
    outcome = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    assert "MULTIMOOD_HEALTH_PORT" in outcome.stdout
