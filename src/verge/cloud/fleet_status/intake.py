"""From the status topic to the records of core devices."""

from __future__ import annotations

import logging

from verge.cloud import ports
from verge.cloud.fleet_status import messages

TOPIC = "$aws/things/+/greengrassv2/health/json"

_log = logging.getLogger(__name__)


class Intake:
    """Hands over every status message that is one; what is none is logged and dropped."""

    def __init__(self, *, bus: ports.Bus, core_devices: ports.CoreDevices) -> None:
        self._bus = bus
        self._core_devices = core_devices

    def start(self) -> None:
        """Take messages from now on."""
        self._bus.subscribe(TOPIC, self.handle)

    def handle(self, topic: str, payload: bytes) -> None:
        """Take in one message."""
        thing = topic.split("/")[2]
        try:
            message = messages.parse(thing, payload)
        except messages.StatusError as error:
            _log.warning("Status message dropped thing=%s reason=%s", thing, error)
            return
        self._core_devices.report(thing, message)
