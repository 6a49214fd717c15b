"""Who devices are: the certificate authority, certificates through the IoT API, and policies."""
