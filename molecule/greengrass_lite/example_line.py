"""Brings the example line to the scenario's device through its cloud, as `./inv up` does.

usage: example_line.py CLOUD DEVICE PICTURE
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import msgspec

from verge.fleet import (
    aws,
    capture_places,
    cloud_endpoints,
    environments,
    inventory,
    output,
    project,
    publish,
    targets,
    up,
    verify,
)

LINE = "inspection_line"


@dataclasses.dataclass(frozen=True)
class Checkout(project.Project):
    """The checkout, with the scenarios' own way to their device."""

    @property
    def ssh_dir(self) -> Path:
        """Where role edge_device keeps key and configuration for the scenarios."""
        return self.state_dir / "molecule" / "ssh"


def main(cloud: Path, name: str, picture: Path) -> None:
    """Publish, deploy to the thing group, verify on the device, show a picture; print what is."""
    where = Checkout(project.Project.find().root)
    reporter = output.Reporter()
    account = connect(cloud)
    fleet = stand_in(inventory.load_inventory(where, where.inventory("local")), name)
    publications = publish.publish_components(where, account, reporter=reporter)
    wanted = targets.plan_targets(fleet, publish.read_recipes(where, publications))
    capture_places.ensure_buckets(where, account, fleet, reporter)
    up.deploy_targets(account, wanted, reporter)
    versions = {item: component.version for item, component in wanted[0].components.items()}
    verify.verify_devices(where, list(fleet.devices.values()), {name: versions})
    sightings = up.show_pictures(where, list(fleet.devices.values()), [picture])
    output.print_json(
        {
            "components": versions,
            "core": core_device(account, name),
            "labels": [item["label"] for item in sightings[0].document["detections"]],
        }
    )


def connect(cloud: Path) -> aws.Account:
    """Return the account of the scenario's cloud."""
    found = msgspec.json.decode(
        (cloud / "endpoints.json").read_bytes(), type=cloud_endpoints.Endpoints
    )
    return aws.Account(
        aws.Access(
            found.region,
            endpoint=found.api,
            key=environments.LOCAL_KEY,
            secret=environments.LOCAL_SECRET,
        )
    )


def stand_in(fleet: inventory.Inventory, name: str) -> inventory.Inventory:
    """Return the example line with the scenario's device, on Lite, in place of its own."""
    model = fleet.devices[fleet.groups[LINE][0]]
    variables = {**model.variables, "greengrass_nucleus": "lite"}
    device = dataclasses.replace(model, name=name, groups=(LINE,), variables=variables)
    return inventory.Inventory(fleet.path, {LINE: (name,)}, {name: device})


def core_device(account: aws.Account, name: str) -> dict[str, Any]:
    """Return what the cloud says of the core device."""
    found = account.client("greengrassv2").get_core_device(coreDeviceThingName=name)
    return {key: found[key] for key in ("status", "coreVersion", "platform", "runtime")}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
