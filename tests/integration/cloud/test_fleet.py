"""A fleet in small: what `./inv bench cloud` measures with thousands of devices."""

from __future__ import annotations

from tests.bench import bench_cloud
from tests.support import devices

DEVICES = 40


@devices.needs_mosquitto
async def test_a_group_deployment_reaches_every_device_once() -> None:
    """Every device deploys once and reports, and the fleet is listed in pages."""
    figures = {each.what: each for each in await bench_cloud.measure(DEVICES)}
    assert figures["devices lost"].value == 0
    assert figures["devices that deployed twice"].value == 0
    assert figures["errors that devices met and overcame"].value == 0
    # How long a page takes is for the benchmark to judge, on a machine that does nothing else.
    pages = {what: each for what, each in figures.items() if what.startswith("ListCoreDevices")}
    assert len(pages) == 9  # median, slowest and slowest answer at three times
    missed = [each for what, each in figures.items() if what not in pages and not each.met]
    assert missed == []
