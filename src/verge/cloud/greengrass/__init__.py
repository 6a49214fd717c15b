"""Greengrass itself: the API `greengrassv2` (contract 5) and what core devices report."""

from verge.cloud.greengrass.schema import SCHEMA
from verge.cloud.greengrass.service import Service

__all__ = ["SCHEMA", "Service"]
