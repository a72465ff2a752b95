"""The command line: see `python -m tools.manifests --help`."""

import argparse
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tools.manifests import generated, policy, schemas, skaffold
from tools.manifests.render import Rendered, RenderError, kustomize, mixed, mixtures, overlays

ABOUT = """\
write   makes from the code what of k8s/ follows from it: Strimzi's topics and accounts, the dashboards, Triton's canary
check   renders every overlay, every component and every two components on the base, and what skaffold would deploy, and
        holds all of it to the schemas of its kinds and to this project's rules; exit code 1 when it finds anything
"""


def main(argv: list[str] | None = None) -> int:
    """Run a command; gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.manifests", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["write", "check"])
    parser.add_argument("--built", type=Path, help="the folder that `tools/cluster/build.sh crds skaffold` prints")
    parser.add_argument("--kubectl", default=str(Path(sys.executable).parent / "kubectl"))
    options = parser.parse_args(argv)
    if options.command == "write":
        for name in generated.write():
            sys.stdout.write(f"{name}\n")
        return 0
    if options.built is None:
        parser.error("check needs --built: the schemas of custom kinds and skaffold itself are there")
    if shutil.which(options.kubectl) is None:
        parser.error(f"--kubectl {options.kubectl}: there is no such program")
    found = list(_check(options.built, options.kubectl))
    for one in found:
        sys.stdout.write(f"{one}\n")
    sys.stdout.write(f"{len(found)} findings\n" if found else "nothing found\n")
    return int(bool(found))


def _check(built: Path, kubectl: str) -> Iterator[str]:
    yield from generated.stale()
    custom = schemas.definitions(built / "crds")
    yield from skaffold.faults(built / "skaffold-v4beta13.json")
    makers: list[Callable[[], Rendered]] = [
        *(partial(kustomize, path, kubectl) for path in overlays()),
        *(partial(mixed, chosen, kubectl) for chosen in mixtures()),
        *(partial(skaffold.rendered, str(built / "skaffold"), kubectl, profile) for profile in skaffold.profiles()),
    ]
    checked: set[str] = set()
    with ThreadPoolExecutor(2) as pool:
        renderings = list(pool.map(_attempt, makers))
    for rendered in renderings:
        if isinstance(rendered, RenderError):
            yield str(rendered)
            continue
        sys.stderr.write(f"{rendered.name}: {len(rendered.manifests)} manifests\n")
        for manifest in rendered.manifests:
            # Most are in many renderings, the same: their schemas are asked once.
            if (known := repr(manifest)) not in checked:
                checked.add(known)
                where = f"{rendered.name}: {manifest['kind']} {manifest['metadata']['name']}"
                yield from (f"{where}: {fault}" for fault in schemas.faults(manifest, custom))
        yield from (f"{rendered.name}: {finding}" for finding in policy.findings(rendered))


def _attempt(make: Callable[[], Rendered]) -> Rendered | RenderError:
    try:
        return make()
    except RenderError as error:
        return error


if __name__ == "__main__":
    sys.exit(main())
