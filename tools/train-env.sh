#!/usr/bin/env bash
# The environment that trains: requirements/train.txt in .venv-train, apart from everything that serves.
set -euo pipefail
cd "$(dirname "$0")/.."
UV=$(command -v uv || echo .tools/uv/bin/uv)
stamp=.venv-train/.locked-by
wanted=$(sha256sum requirements/train.txt pyproject.toml | sha256sum | cut -d' ' -f1)
[ "$(cat $stamp 2>/dev/null)" != "$wanted" ] || exit 0
echo "making .venv-train from requirements/train.txt: several GB, some minutes"
"$UV" venv --quiet --allow-existing --python .venv/bin/python .venv-train
"$UV" pip install --python .venv-train/bin/python --require-hashes -r requirements/train.txt
"$UV" pip install --python .venv-train/bin/python -r requirements/app.in
"$UV" pip install --python .venv-train/bin/python --no-deps --no-build-isolation -e .
echo "$wanted" > $stamp
