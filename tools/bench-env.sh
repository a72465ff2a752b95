#!/usr/bin/env bash
# What the benchmarks compare with (other stream processors, other clients): requirements/bench.txt in .venv-bench.
set -euo pipefail
cd "$(dirname "$0")/.."
UV=$(command -v uv || echo .tools/uv/bin/uv)
stamp=.venv-bench/.locked-by
wanted=$(sha256sum requirements/bench.txt | cut -d' ' -f1)
[ "$(cat $stamp 2>/dev/null)" != "$wanted" ] || exit 0
"$UV" venv --quiet --allow-existing --python .venv/bin/python .venv-bench
"$UV" pip install --quiet --python .venv-bench/bin/python --require-hashes -r requirements/bench.txt
echo "$wanted" > $stamp
