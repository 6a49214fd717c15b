"""HTTPS for devices: the Greengrass data plane, the credentials provider, S3."""

from verge.cloud.edge.listeners import SCHEMA, Listeners

__all__ = ["SCHEMA", "Listeners"]
