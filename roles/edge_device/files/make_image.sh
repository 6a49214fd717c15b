#!/bin/sh
# Makes the image of a simulated device, once, whoever asks at the same time.
# usage: make_image.sh IMAGE TARBALL SUITE PACKAGES [MMDEBSTRAP OPTION...] < apt sources
set -eu
image=$1 tarball=$2 suite=$3 packages=$4
shift 4
exec 9>"$tarball.lock"
flock 9
if ! [ -e "$tarball" ]; then
  # An interrupted build leaves only the .part file, which the next one overwrites.
  mmdebstrap --quiet --variant=minbase --include="$packages" "$@" "$suite" "$tarball.part.tar" -
  mv "$tarball.part.tar" "$tarball"
  echo "made $tarball"
fi
if ! podman image exists "$image"; then
  podman import --quiet --change 'STOPSIGNAL SIGRTMIN+3' "$tarball" "$image"
  echo "made $image"
fi
