# Run on the device as root. Keeps the device's own key and says what the cloud needs to know of it.
# usage: make_identity ROOT THING apply|check
# The key is made here and never leaves the device.
set -eu
root=$1 thing=$2 mode=$3
key=$root/privKey.key certificate=$root/thingCert.crt
if ! [ -s "$key" ]; then
  echo "changed key"
  [ "$mode" = apply ] || exit 0
  umask 077
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$key.new"
  sync "$key.new"
  mv "$key.new" "$key"
fi
echo "request $(openssl req -new -key "$key" -subj "/CN=$thing" | base64 -w0)"
# A certificate for another key is of no use.
if [ -s "$certificate" ] &&
  [ "$(openssl x509 -in "$certificate" -noout -pubkey)" = "$(openssl pkey -in "$key" -pubout)" ]; then
  echo "certificate $(base64 -w0 "$certificate")"
fi
