# Run on the device as root. Makes the device's own key and says the request for its certificate.
# usage: make_identity KEY THING
# The key is made here and never leaves the device.
set -eu
umask 077
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.new"
sync "$1.new"
mv "$1.new" "$1"
openssl req -new -key "$1" -subj "/CN=$2"
