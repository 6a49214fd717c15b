echo "greeting as $(id -un)"
while sleep 1; do :; done
