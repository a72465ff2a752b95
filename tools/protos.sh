#!/usr/bin/env bash
# Generates multimood/contracts/v1 from protos/. With --check: fails when what is committed differs from what would be generated.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}

generate() { # OUT
  mkdir -p "$1"
  local out; out=$(mktemp -d)
  "$PYTHON" -m grpc_tools.protoc -I protos --python_out="$out" --pyi_out="$out" \
    protos/multimood/v1/events.proto protos/multimood/v1/graph.proto
  "$PYTHON" -m grpc_tools.protoc -I protos --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" protos/multimood/v1/gateway.proto
  # protoc names modules after the proto's folder; ours live under the library's own package.
  sed -i 's/^from multimood\.v1 import/from multimood.contracts.v1 import/' "$out"/multimood/v1/*.py "$out"/multimood/v1/*.pyi
  rm -f "$1"/*_pb2*
  cp "$out"/multimood/v1/* "$1"/
  rm -r "$out"
}

if [ "${1:-}" = --check ]; then
  fresh=$(mktemp -d); trap 'rm -r "$fresh"' EXIT
  generate "$fresh"
  if ! diff -r -q --exclude=__pycache__ --exclude=__init__.py "$fresh" multimood/contracts/v1; then
    echo "multimood/contracts/v1 is stale: run 'make protos' and commit" >&2; exit 1
  fi
  echo "generated contracts are fresh"
else
  generate multimood/contracts/v1
fi
