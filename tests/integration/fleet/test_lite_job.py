"""The main job on AWS's nucleus Lite, from configuration and package alone, through `./inv`."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkout import Checkout, require_podman

PACKAGE = Path(os.environ.get("GREENGRASS_LITE_PACKAGE", ""))
DEVICE = "press-01"

pytestmark = [
    pytest.mark.device,
    pytest.mark.skipif(
        not PACKAGE.is_file(),
        reason="GREENGRASS_LITE_PACKAGE names no file; docs/how-to/run-nucleus-lite.md says how to "
        "come by AWS's package",
    ),
]


def configure(copy: Checkout) -> None:
    """Write into the inventory what docs/how-to/run-nucleus-lite.md says, for one device."""
    inventory = copy.root / "inventory/local"
    with (inventory / "group_vars/all/cloud.yml").open("a", encoding="utf-8") as file:
        file.write("site_https_port: 443\n")
    (inventory / "group_vars/inspection_line/nucleus.yml").write_text(
        "greengrass_nucleus: lite\n"
        f"greengrass_lite_package: {PACKAGE}\n"
        "greengrass_lite_libraries: >-\n"
        f"  {{{{ query('ansible.builtin.fileglob', '{PACKAGE.parent}/libraries/*.deb') }}}}\n",
        encoding="utf-8",
    )
    hosts = inventory / "hosts.yml"
    hosts.write_text(
        hosts.read_text(encoding="utf-8").replace("    press-02:\n", ""), encoding="utf-8"
    )


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """Return a fresh copy of the repository with its Lite device up; all of it goes afterwards."""
    require_podman()
    copy = Checkout(tmp_path_factory.mktemp("lite") / "verge")
    configure(copy)
    try:
        copy.up_output = copy.inv("up")
        yield copy
    finally:
        copy.inv("destroy")
        shutil.rmtree(copy.root)


def test_up_detects_objects_on_lite(fleet: Checkout) -> None:
    """`./inv up` provisions Lite, deploys through the cloud, verifies and shows what is seen."""
    assert re.search(rf"^ *{DEVICE} +astronaut.png +person", fleet.up_output, re.MULTILINE)
    account = fleet.account()
    core = account.client("greengrassv2").get_core_device(coreDeviceThingName=DEVICE)
    assert (core["status"], core["runtime"]) == ("HEALTHY", "aws_nucleus_lite")
    assert "verge-nucleus" not in fleet.on_device(DEVICE, "ls /usr/local/bin")


def test_second_up_changes_nothing_on_lite(fleet: Checkout) -> None:
    """A second `./inv up` changes nothing and says so."""
    assert "Nothing to change" in fleet.inv("up")


def test_status_and_logs_tell_of_lite(fleet: Checkout) -> None:
    """`inv status` has the versions and states of the components, `inv logs` what they wrote."""
    found = json.loads(fleet.answer("status", "--json"))[DEVICE]
    states = {item["name"]: item["state"] for item in found["components"]}
    assert found["healthy"] is True
    assert states["verge.OnnxObjectDetection"] == "RUNNING"
    assert states["verge.FileSystemMonitor"] == "RUNNING"
    assert "Ready model=" in fleet.inv(
        "logs", "verge.OnnxObjectDetection", "--device", DEVICE, "--lines", "2000"
    )


def test_lite_is_not_deployed_to_without_a_cloud(fleet: Checkout) -> None:
    """`inv deploy` pushes over SSH, which Lite cannot take, and says so at once."""
    output = fleet.inv("deploy", "--device", DEVICE, code=1)
    assert f"cannot deploy to {DEVICE} without a cloud" in output
