"""Metrics that components put, one log each below `telemetry/`, rotated as all logs are.

They stay on the device: nothing sends them to a cloud yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from verge.nucleus import logs, settings


class Telemetry:
    """Implements `host.Metrics`."""

    def __init__(
        self,
        directory: Path,
        limits: settings.LogSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._limits = limits
        self._clock = clock
        self._logs: dict[str, logs.LogFile] = {}

    def record(self, component: str, name: str, unit: str, value: float) -> None:
        """Append one value, in the words of Greengrass's telemetry logs."""
        log = self._logs.get(component)
        if log is None:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            log = self._logs[component] = logs.LogFile(self._directory, component, self._limits)
        fields = {"NS": component, "N": name, "U": unit, "V": value, "TS": int(self._clock() * 1e3)}
        log.write(msgspec.json.encode(fields) + b"\n")

    def close(self) -> None:
        """Close the logs."""
        for log in self._logs.values():
            log.close()
