#!/usr/bin/env bash
# Makes a base image for Containerfile where no image registry is reachable: Debian 12 from its own packages, with Python 3.11.
#   tools/cluster/base-image.sh NAME       for instance localhost/multimood/base:bookworm
set -euo pipefail
NAME=${1:?the name of the image}
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
MIRROR=$(apt-get indextargets --format '$(SITE)' 'Release: bookworm' 'Component: main' | sed -n 1p)

mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates \
  --aptopt='Acquire::Languages "none"' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/log/*.log "$1"/var/log/apt' \
  bookworm "$SCRATCH/base.tar" ${MIRROR:+"$MIRROR"}
container=$(buildah from scratch)
trap 'rm -rf "$SCRATCH"; buildah rm "$container" > /dev/null' EXIT
buildah add --quiet "$container" "$SCRATCH/base.tar" / > /dev/null
buildah config --cmd python3 --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
buildah commit --quiet "$container" "$NAME"
