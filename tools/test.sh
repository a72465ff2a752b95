#!/usr/bin/env bash
# `make test`: everything, in the order in which a fault is found soonest. What takes long to build at the first time is
# begun before, in a session of its own that gives way to everything else.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=.venv/bin/python
BUILD=tools/cluster/build.sh

tests() { echo "==> $1"; shift; "$PY" -m pytest "$@"; }

$PY -m tools.cluster.stage ask
read -ra parts < <("$PY" -m tools.cluster.stage parts)
setsid nice -n 19 bash -c 'echo 19 > /proc/self/autogroup; exec "$@"' ahead "$BUILD" "${parts[@]}" > .tools/cluster-build.log 2>&1 &
ahead=$!
trap 'kill -- "-$ahead" 2> /dev/null || true' EXIT

tests "unit and property tests" -n 2 --dist worksteal tests/unit tests/property
tests "integration tests: real broker, store, Triton" -n 2 --dist loadfile -v -rs --durations=5 tests/integration
tests "end to end, through the gateway; evals: model quality on labelled data" -n 2 --dist loadfile -v -rs --durations=5 tests/e2e tests/evals
tests "chaos: processes are killed while traffic flows" -m "not long" -v -rs --durations=5 tests/chaos
echo "==> manifests: rendered, against schemas, rules and code"
$PY -m tools.manifests check --built "$("$BUILD" crds skaffold)"
echo "==> the system on a Kubernetes, from these manifests"
$PY -m tools.cluster.stage
