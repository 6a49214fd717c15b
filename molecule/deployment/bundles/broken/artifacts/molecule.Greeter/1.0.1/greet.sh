echo "cannot greet: no voice"
exit 3
