#!/bin/sh
# Makes the network of the simulated devices: the host reaches them by address, they reach nothing.
# usage: make_network.sh NAME SUBNET LABEL LOCK ("" as SUBNET lets podman choose)
set -eu
name=$1 subnet=$2 label=$3
exec 9>"$4"
flock 9
if podman network exists "$name"; then
  if [ "$(podman network inspect --format "{{index .Labels \"${label%%=*}\"}}" "$name")" = "${label#*=}" ]; then
    exit 0
  fi
  # The trial of a run that was killed; podman keeps it where containers are on it.
  podman network rm "$name" >/dev/null
fi
if [ -z "$subnet" ]; then
  # An internal network without DNS has an address on the host's side only where the gateway is
  # named, and only podman knows which subnet is free: ask it with a network that goes at once.
  podman network create "$name" >/dev/null
  subnet=$(podman network inspect --format '{{(index .Subnets 0).Subnet}}' "$name")
  podman network rm "$name" >/dev/null
fi
gateway="${subnet%.*}.1"
podman network create --internal --disable-dns --subnet "$subnet" --gateway "$gateway" \
  --label "$label" "$name"
echo "made $name on $subnet"
