"""The embedded Greengrass-compatible nucleus."""
