"""Status messages on their way from the topic to the records of core devices."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.support import cloud_doubles as doubles
from verge.cloud import fleet_status

STATUS = json.loads(
    (Path(__file__).parents[3] / "cases" / "wire" / "status.json").read_text(encoding="utf-8")
)
TOPIC = "$aws/things/press-01/greengrassv2/health/json"
LITE: dict[str, Any] = {
    "ggcVersion": "2.6.0",
    "platform": "linux",
    "architecture": "amd64",
    "runtime": "aws_nucleus_lite",
    "thing": "press-01",
    "sequenceNumber": 34,
    "timestamp": 1795291080404,
    "messageType": "PARTIAL",
    "trigger": "COMPONENT_STATUS_CHANGE",
    "overallDeviceStatus": "HEALTHY",
    "components": [
        {
            "componentName": "com.example.Sub",
            "version": "1.0.0",
            "fleetConfigArns": ["f337bbd2-0eba-46bf-8d31-9350d0803082"],
            "isRoot": True,
            "status": "RUNNING",
        }
    ],
    "deploymentInformation": {},
}


@pytest.fixture
def core_devices() -> doubles.CoreDevices:
    """Return the records that messages end in."""
    return doubles.CoreDevices()


@pytest.fixture
def bus(core_devices: doubles.CoreDevices) -> doubles.Bus:
    """Return a bus that an intake listens to."""
    found = doubles.Bus()
    fleet_status.Intake(bus=found, core_devices=core_devices).start()
    return found


@pytest.mark.parametrize("message", [STATUS, LITE], ids=["pinned", "as Lite sends it"])
def test_messages_are_handed_over_whole(
    bus: doubles.Bus, core_devices: doubles.CoreDevices, message: dict[str, Any]
) -> None:
    """A status message arrives with every member it was sent with."""
    message = {**message, "unknown": {"later": 1}}
    bus.receive(TOPIC, message)
    assert core_devices.reports == [("press-01", message)]


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x00\xff", id="binary"),
        pytest.param(json.dumps(STATUS).encode()[:-20], id="truncated"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"{}", id="empty"),
        pytest.param(b'{"a":' + b"[" * 50_000, id="deep"),
        pytest.param({**STATUS, "thing": "press-02"}, id="of another thing"),
        pytest.param({**STATUS, "overallDeviceStatus": "FINE"}, id="status"),
        pytest.param({**STATUS, "timestamp": "now"}, id="time"),
        pytest.param({**STATUS, "components": {}}, id="components"),
        pytest.param({**STATUS, "components": [{"componentName": "a"}]}, id="component"),
        pytest.param({**STATUS, "chunkInfo": {"chunkId": 0, "totalChunks": 1}}, id="chunk"),
        pytest.param({**STATUS, "padding": "x" * 128_000}, id="large"),
    ],
)
def test_garbage_is_dropped(
    bus: doubles.Bus,
    core_devices: doubles.CoreDevices,
    caplog: pytest.LogCaptureFixture,
    payload: Any,
) -> None:
    """What is no status message of that thing is logged with its thing and the reason."""
    with caplog.at_level(logging.WARNING):
        bus.receive(TOPIC, payload)
    assert core_devices.reports == []
    (record,) = caplog.records
    assert "thing=press-01 reason=cannot" in record.getMessage()
    bus.receive(TOPIC, STATUS)
    assert len(core_devices.reports) == 1
