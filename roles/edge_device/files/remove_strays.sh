#!/bin/sh
# Removes every device on the network of the simulated devices.
# usage: remove_strays.sh PREFIX
set -eu
prefix=$1
command -v podman >/dev/null || exit 0
podman container ls --all --filter "network=$prefix" --format '{{.Names}}' | while read -r name; do
  podman container rm --force --time 0 "$name" >/dev/null
  echo "removed $name"
done
