#!/usr/bin/env bash
# The software bill of materials of an image that tools/cluster/images.sh built: CycloneDX as JSON, of its Python packages
# with versions and licences. (Of Debian's packages: `dpkg-query --show` in the image.)
#   tools/cluster/sbom.sh joiner > joiner.cdx.json
set -euo pipefail
cd "$(dirname "$0")/../.."
IMAGE=localhost/multimood/${1:?the name of an image, one of: $(tools/cluster/images.sh --list | tr '\n' ' ')}:ci
UV=$(command -v uv || echo .tools/uv/bin/uv)
SCRATCH=$(mktemp -d)
container=$(buildah from "$IMAGE")
trap 'buildah rm "$container" > /dev/null; rm -rf "$SCRATCH"' EXIT
"$UV" pip install --quiet --python-version 3.11 --only-binary :all: --target "$SCRATCH/tool" cyclonedx-bom==7.5.0
# The tool runs on the image's own Python, and looks at its environment from outside: it is not part of it.
buildah run --isolation chroot --user 0:0 --volume "$SCRATCH/tool:/tool:ro" "$container" -- /usr/bin/env python3 -I -c '
import runpy, sys
sys.path.insert(0, "/tool")
sys.argv = ["cyclonedx-py", "environment", "--output-reproducible", "/opt/venv/bin/python"]
runpy.run_module("cyclonedx_py", run_name="__main__")
'
