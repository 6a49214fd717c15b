"""HTTPS for devices: the Greengrass data plane, the credentials provider, S3."""
