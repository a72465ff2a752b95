#!/usr/bin/env bash
# What opens the exports of the experience log (TRL, Minari, Open Bandit Pipeline, ...): requirements/research.txt in .venv-research.
set -euo pipefail
cd "$(dirname "$0")/.."
UV=$(command -v uv || echo .tools/uv/bin/uv)
stamp=.venv-research/.locked-by
wanted=$(sha256sum requirements/research.txt pyproject.toml | sha256sum | cut -d' ' -f1)
[ "$(cat $stamp 2>/dev/null)" != "$wanted" ] || exit 0
echo "making .venv-research from requirements/research.txt: several GB, some minutes"
"$UV" venv --quiet --allow-existing --python .venv/bin/python .venv-research
"$UV" pip install --python .venv-research/bin/python --require-hashes -r requirements/research.txt
"$UV" pip install --python .venv-research/bin/python -r requirements/app.in
"$UV" pip install --python .venv-research/bin/python --no-deps --no-build-isolation -e .
echo "$wanted" > $stamp
