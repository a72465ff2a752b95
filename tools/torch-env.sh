#!/usr/bin/env bash
# An environment with torch, apart from everything that serves: requirements/NAME.txt and the project itself in .venv-NAME.
#   train      what trains the models and writes those of a hub
#   research   what opens the exports of the experience log (TRL, Minari, Open Bandit Pipeline, ...)
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:-}
case $name in train | research) ;; *) echo "usage: tools/torch-env.sh train|research" >&2; exit 2 ;; esac
UV=$(command -v uv || echo .tools/uv/bin/uv)
stamp=.venv-$name/.locked-by
wanted=$(sha256sum "requirements/$name.txt" pyproject.toml | sha256sum | cut -d' ' -f1)
[ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || exit 0
echo "making .venv-$name from requirements/$name.txt: several GB, some minutes"
"$UV" venv --quiet --allow-existing --python .venv/bin/python ".venv-$name"
"$UV" pip install --python ".venv-$name/bin/python" --require-hashes -r "requirements/$name.txt"
"$UV" pip install --python ".venv-$name/bin/python" -r requirements/app.in
"$UV" pip install --python ".venv-$name/bin/python" --no-deps --no-build-isolation -e .
echo "$wanted" > "$stamp"
