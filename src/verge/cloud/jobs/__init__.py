"""The jobs service of IoT: which thing is to do what, how far it is, and the topics that say so.

`service` decides and keeps, `engine` connects it to MQTT, HTTP, time and the registry.
"""

from verge.cloud.jobs.engine import Engine
from verge.cloud.jobs.schema import SCHEMA

__all__ = ["SCHEMA", "Engine"]
