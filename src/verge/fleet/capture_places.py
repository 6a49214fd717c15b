"""Where devices put captures: the bucket and prefix of verge.CaptureUploader's desired state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from verge.fleet import artifacts, aws, inventory, output, project
from verge.fleet.errors import FleetError

UPLOADER = "verge.CaptureUploader"
PREFIX = "captures"
"""The component's own default."""

_HOW = "docs/how-to/collect-pictures-for-labelling.md"


@dataclass(frozen=True)
class Place:
    """Where captures lie."""

    bucket: str
    prefix: str

    @property
    def uri(self) -> str:
        """The place as `s3://…`."""
        return f"s3://{self.bucket}/{self.base}"

    @property
    def base(self) -> str:
        """What every key begins with."""
        return f"{self.prefix}/" if self.prefix else ""


def find_places(fleet: inventory.Inventory, device: str = "", bucket: str = "") -> list[Place]:
    """Return where the devices of an inventory put captures, as their desired state has it.

    `device` need not be in the inventory: captures outlive devices. `bucket` replaces theirs.
    Raises FleetError if there is no place to look at.
    """
    chosen = [fleet.devices[device]] if device in fleet.devices else list(fleet.devices.values())
    places = [
        Place(bucket or str(merge.get("bucket") or ""), _prefix(merge.get("prefix")))
        for merge in _settings(chosen) or [{}]
    ]
    found = list(dict.fromkeys(place for place in places if place.bucket))
    if not found:
        raise FleetError(
            f"cannot tell where captures lie: no device of inventory/{fleet.path.name} has a "
            f"bucket for {UPLOADER}",
            f"{_HOW} says how to set it; or give --bucket",
        )
    return found


def _prefix(value: Any) -> str:
    return (PREFIX if value is None else str(value)).strip("/")


def ensure_buckets(
    where: project.Project,
    account: aws.Account,
    fleet: inventory.Inventory,
    reporter: output.Reporter,
) -> list[str]:
    """Make the buckets that the devices of an inventory put captures into; return what changed."""
    settings = _settings(fleet.devices.values())
    changes = []
    for name in sorted({str(merge["bucket"]) for merge in settings if merge.get("bucket")}):
        bucket = artifacts.Bucket(where, account, name)
        try:
            if bucket.exists():
                continue
            reporter.detail(f"Making bucket {name}")
            bucket.create()
        except aws.CloudError as error:
            raise FleetError(
                f"cannot use {name} for captures: {error.reason} ({error.code})",
                f"bucket names are unique in all of AWS: name one of yours, see {_HOW}",
            ) from error
        changes.append(f"made bucket {name}")
    return changes


def _settings(devices: Iterable[inventory.Device]) -> list[Mapping[str, Any]]:
    wanted = (device.deployment.get(UPLOADER) for device in devices)
    return [found.merge for found in wanted if found is not None]
