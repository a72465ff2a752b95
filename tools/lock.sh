#!/usr/bin/env bash
# Resolves the locks for Python 3.11 and 3.12, with hashes and without naming a registry. `--upgrade` takes newer versions.
set -euo pipefail
cd "$(dirname "$0")/.."
UV=$(command -v uv || echo .tools/uv/bin/uv)

resolve() { # OUT SOURCES...
  local out=$1; shift
  "$UV" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
    --output-file "$out" "$@"
  echo "$out: $(grep -c '^[a-z]' "$out") packages"
}

resolve requirements/app.txt pyproject.toml requirements/app.in --extra dev "$@"
resolve requirements/train.txt pyproject.toml --extra train --constraint requirements/app.txt "$@"
resolve requirements/research.txt pyproject.toml requirements/research.in --extra local "$@"
resolve requirements/bench.txt requirements/bench.in "$@"
resolve requirements/go.txt requirements/go.in "$@"

# The Triton server's environment: triton.in lists every package of it, so nothing is resolved but the hashes.
"$UV" pip compile --quiet --no-deps --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
  --output-file requirements/triton.txt requirements/triton.in
echo "requirements/triton.txt: $(grep -c '^[a-z]' requirements/triton.txt) packages"
