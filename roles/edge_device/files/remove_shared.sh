#!/bin/sh
# Removes network and images of the simulated devices once no device is left.
# usage: remove_shared.sh PREFIX
set -eu
prefix=$1
command -v podman >/dev/null || exit 0
if [ -n "$(podman container ls --all --quiet --filter "network=$prefix")" ]; then exit 0; fi
echo "last device is gone"
if podman network exists "$prefix"; then
  podman network rm "$prefix" >/dev/null
  echo "removed network $prefix"
fi
# By name and without force: images of the same content are one, with a name for every prefix.
podman image ls --format '{{.Repository}}:{{.Tag}}' | while read -r image; do
  case $image in
    "localhost/$prefix:"*)
      podman image rm "$image" >/dev/null
      echo "removed image $image"
      ;;
  esac
done
