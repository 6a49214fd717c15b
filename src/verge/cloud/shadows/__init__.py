"""Device shadows: what a thing should be and what it says it is.

An implementation of our own, because moto's keeps shadows in memory only and knows no MQTT: a
shadow that was accepted here survives the death of this process, message by message.
"""

from verge.cloud.shadows.registry import Registry
from verge.cloud.shadows.store import SCHEMA

__all__ = ["SCHEMA", "Registry"]
