"""The page of the running cloud, beside S3 on the same port."""

from __future__ import annotations

import asyncio
import http.client
from pathlib import Path

from tests.support import core_devices, devices, running_cloud

PATIENCE = 30.0


def page(cloud: running_cloud.RunningCloud, host: str = "", *, status: int = 200) -> str:
    """Return the page as a browser gets it that knows the cloud by the name of a host."""
    place = cloud.endpoints.api.removeprefix("http://")
    connection = http.client.HTTPConnection(place, timeout=PATIENCE)
    try:
        connection.request("GET", "/_console", headers={"Host": host or place})
        answer = connection.getresponse()
        content = answer.read().decode()
    finally:
        connection.close()
    assert answer.status == status
    if status == 200:
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    return content


@devices.needs_mosquitto
async def test_the_fleet_is_on_the_page(cloud: running_cloud.RunningCloud, tmp_path: Path) -> None:
    """Devices with status and components, deployments with how far each device is."""
    fleet = core_devices.Fleet(cloud, tmp_path, "console")
    good, bad = fleet.add(["console-good", "console-bad"])
    fleet.publish("8.0.0")
    both = [
        core_devices.CoreDevice(cloud, good),
        core_devices.CoreDevice(cloud, bad, outcome="FAILED"),
    ]
    for device in both:
        device.start()
    try:
        async with asyncio.timeout(PATIENCE):
            await core_devices.all_connected(both)
        made = await asyncio.to_thread(fleet.deploy, "8.0.0", deploymentName="<b>to the line</b>")
        ended = {"console-good": "SUCCEEDED", "console-bad": "FAILED"}
        await asyncio.to_thread(
            running_cloud.wait_for, lambda: fleet.statuses(made["iotJobId"]) == ended, "the ends"
        )
    finally:
        await asyncio.gather(*(device.cut() for device in both))
    shown = await asyncio.to_thread(page, cloud)
    row = next(row for row in shown.split("<tr>") if "<b>console-bad</b>" in row)
    assert "UNHEALTHY" in row
    assert f"{core_devices.COMPONENT}</b> <span class=dim>8.0.0</span>" in row
    row = next(row for row in shown.split("<tr>") if "<b>thinggroup/console</b>" in row)
    assert "&lt;b&gt;to the line&lt;/b&gt;" in row
    assert "SUCCEEDED</span> 1 device" in row
    assert "FAILED</span> 1 device" in row
    assert shown.index("console-bad") < shown.index("console-good")


def test_pages_from_elsewhere_get_nothing(cloud: running_cloud.RunningCloud) -> None:
    """A site that gives its own name this machine's address is refused."""
    assert "The local cloud" in page(cloud, "localhost:4566")
    for foreign in ("example.com", "example.com:4566", "127.0.0.1.example.com:4566"):
        assert "The local cloud" not in page(cloud, foreign, status=403)
