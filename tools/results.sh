#!/usr/bin/env bash
# Measures the served models on every corpus that lies below a folder, and writes docs/results.md: `make results DATA=folder`.
# A corpus that is not there keeps the figures it had. Ends with 1 if one that is there could not be measured.
set -euo pipefail
cd "$(dirname "$0")/.."
DATA=${1:?give the folder with text/, audio/, av/, face/, dialogue/: make results DATA=folder}
SPLIT=${2:-val}
OUT=docs/runs/eval
said=$(mktemp); trap 'rm -f "$said"' EXIT
failed=()

mkdir -p "$OUT"
for corpus in $(.venv/bin/python -c 'from multimood.evaluation.corpora import corpora; print(*(set(corpora()) - {"rows"}))' | xargs -n1 | sort); do
  echo "==> $corpus"
  status=0
  .venv/bin/multimood eval "$corpus" --data "$DATA" --split "$SPLIT" --json "$OUT/$corpus.json" 2> "$said" || status=$?
  cat "$said" >&2
  [ $status = 0 ] || grep -q "^error: --data .* holds none of" "$said" || failed+=("$corpus")
done
.venv/bin/multimood results
[ ${#failed[@]} = 0 ] || { echo "not measured, see above: ${failed[*]}" >&2; exit 1; }
