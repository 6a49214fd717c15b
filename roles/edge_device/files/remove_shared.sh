#!/bin/sh
# Removes network and images of the simulated devices once no device is left.
# usage: remove_shared.sh PREFIX
set -eu
prefix=$1
if [ -n "$(podman container ls --all --quiet --filter "network=$prefix")" ]; then exit 0; fi
echo "last device is gone"
if podman network exists "$prefix"; then
  podman network rm "$prefix" >/dev/null
  echo "removed network $prefix"
fi
podman image ls --quiet --filter "reference=localhost/$prefix" | sort -u | while read -r image; do
  podman image rm --force "$image" >/dev/null
  echo "removed image $image"
done
