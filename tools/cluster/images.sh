#!/usr/bin/env bash
# Builds with buildah the images of the overlay k8s/overlays/ci: localhost/multimood/NAME:ci for the nine services, the
# servers they need, and the programs of tools/cluster/build.sh that run as pods.
#   tools/cluster/images.sh [NAME...]      all of them, or some
# What did not change since the last time takes seconds. JOBS= says how many are built at once.
set -euo pipefail
cd "$(dirname "$0")/../.."
BIN=$(tools/cluster/build.sh --where)
SERVICES=(gateway sentinel text-encoder audio-encoder video-encoder joiner strategist responder reward)
SERVERS=(kafka store triton)
ADDONS=(pause coredns metrics-server keda-operator keda-adapter training)
LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT
BASE=localhost/multimood/base:bookworm
if [ "${1:-}" = --list ]; then printf '%s\n' "${SERVICES[@]}" "${SERVERS[@]}" "${ADDONS[@]}"; exit; fi

# Packages come from where this machine gets its own: its certificates and pip's settings are lent to the build alone.
LENT=()
for file in /etc/ssl/certs/ca-certificates.crt /etc/pip.conf; do [ ! -e "$file" ] || LENT+=(--volume "$file:$file:ro"); done
id_of() { buildah images --quiet --no-trunc "localhost/multimood/$1:ci" 2> /dev/null || true; }
build() { # NAME CONTAINERFILE ARGUMENTS...: from the checkout
  local name=$1 file=$2 ignore=.dockerignore former; shift 2
  former=$(id_of "$name")
  [ ! -e "$file.dockerignore" ] || ignore=$file.dockerignore
  nice -n "${NICE:-5}" buildah build --isolation chroot --layers "${LENT[@]}" --ignorefile "$ignore" --build-arg BASE_IMAGE="$BASE" \
    --tag "localhost/multimood/$name:ci" --file "$file" "$@" . > "$LOG" 2>&1 || { tail -n 30 "$LOG" >&2; return 1; }
  # What nobody uses any more would fill the disk, one build after the other.
  [ -z "$former" ] || [ "$former" = "$(id_of "$name")" ] || buildah rmi "$former" > /dev/null 2>&1 || true
}
alone() { # NAME PROGRAM USER ARGUMENTS(JSON)...: an image of one static program and nothing else
  local name=$1 program=$2 scratch
  scratch=$(mktemp -d)
  cp "$program" "$scratch/program"
  printf 'FROM scratch\nCOPY program /%s\nUSER 65532:65532\nENTRYPOINT ["/%s"%s]\n' "$name" "$name" "${3:-}" > "$scratch/Containerfile"
  buildah build --isolation chroot --layers --tag "localhost/multimood/$name:ci" "$scratch" > /dev/null
  rm -r "$scratch"
}

buildah inspect --type image "$BASE" > /dev/null 2>&1 || tools/cluster/base-image.sh "$BASE" > /dev/null
[ $# -gt 0 ] || set -- "${SERVICES[@]}" "${SERVERS[@]}" "${ADDONS[@]}"
if [ $# -gt 1 ]; then
  # What the services have in common first, or each of those that are built at once would make it.
  build wheel Containerfile --target wheel
  # (255 has xargs begin nothing more.)
  printf '%s\n' "$@" | xargs -I {} -P "${JOBS:-2}" sh -c 'tools/cluster/images.sh {} || exit 255'
  exit
fi
name=$1
begin=$SECONDS
case $name in
  kafka) build kafka k8s/overlays/ci/images/kafka/Containerfile --build-context kafka="$(realpath .tools/kafka)" ;;
  store) build store k8s/overlays/ci/images/store/Containerfile ;;
  triton)
    build tritonserver k8s/overlays/ci/images/tritonserver/Containerfile
    BASE=localhost/multimood/tritonserver:ci build triton triton_models/Containerfile
    ;;
  training) build training Containerfile --target training ;;
  pause) alone pause "$(command -v catatonit)" ', "-P"' ;;
  coredns | metrics-server | keda-operator | keda-adapter) alone "$name" "$BIN/$name" ;;
  *) [[ " ${SERVICES[*]} " == *" $name "* ]] || { echo "no image '$name'; there are ${SERVICES[*]} ${SERVERS[*]} ${ADDONS[*]}" >&2; exit 1; }
    build "$name" Containerfile --build-arg SERVICE="${name//-/_}" ;;
esac
printf 'image %-15s %3d s, %s\n' "$name" $((SECONDS - begin)) \
  "$(buildah images --format '{{.Size}}' "localhost/multimood/$name:ci")" >&2
