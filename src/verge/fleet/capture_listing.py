"""What verge.CaptureUploader has put into S3: pictures for labelling, each with its result beside.

The keys are those of the component: `PREFIX/DEVICE/DAY/TIME-ID.jpg`, and `.json` beside it. They
sort by time within a device, so that a listing is read page by page and never kept whole.
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from verge.fleet import aws, capture_files, capture_places
from verge.fleet.errors import FleetError

_DEVICE = re.compile(r"[A-Za-z0-9:_-]{1,128}")
_KEY = re.compile(
    r"(?P<stem>(?P<device>[A-Za-z0-9:_-]{1,128})/(?P<day>\d{4}-\d{2}-\d{2})/"
    r"(?P<time>(?P=day)T\d{6}\d*Z)-(?P<id>[A-Za-z0-9][A-Za-z0-9._-]{0,127}))"
    r"\.(?P<suffix>[a-z0-9]{1,8})"
)


@dataclass(frozen=True, slots=True)
class Capture:
    """A picture and its result; one of the two may be missing."""

    place: capture_places.Place
    device: str
    id: str
    time: dt.datetime
    picture: capture_files.Stored | None
    result: capture_files.Stored | None

    @property
    def complete(self) -> bool:
        """Whether the picture and its result are there."""
        return self.picture is not None and self.result is not None

    @property
    def size(self) -> int:
        """Bytes of both."""
        return sum(item.size for item in (self.picture, self.result) if item)

    @property
    def key(self) -> str:
        """The key of the picture, or of what is there."""
        found = self.picture or self.result
        return found.key if found else ""


def read_since(text: str) -> dt.datetime | None:
    """Read a date or a time; without a zone it is UTC. Raises FleetError for anything else."""
    if not text:
        return None
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise FleetError(
            f"cannot read --since {text!r}: it should be a date or a time, in UTC",
            "such as 2026-11-21 or 2026-11-21T06:30",
        ) from None
    return found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found.astimezone(dt.UTC)


def list_captures(
    account: aws.Account,
    place: capture_places.Place,
    device: str = "",
    since: dt.datetime | None = None,
) -> Iterator[Capture]:
    """Return the captures of a place, by device and then by time.

    Raises FleetError if the bucket is missing or may not be read.
    """
    if device and not _DEVICE.fullmatch(device):
        raise FleetError(f"cannot list captures of {device!r}: no device has such a name")
    for name in [device] if device else _list_devices(account, place):
        objects = _list_objects(account, place, name, since)
        for _, group in itertools.groupby(objects, key=lambda item: item[0]["time"]):
            for capture in _pair(place, list(group)):
                if since is None or capture.time >= since:
                    yield capture


_Object = tuple[re.Match[str], capture_files.Stored]


def _pair(place: capture_places.Place, group: list[_Object]) -> Iterator[Capture]:
    """Put together what the uploader put in at one time: pictures and their results."""
    results = {match["stem"]: stored for match, stored in group if match["suffix"] == "json"}
    for match, stored in group:
        if match["suffix"] != "json":
            yield _capture(place, match, stored, results.pop(match["stem"], None))
    for match, stored in group:
        if match["suffix"] == "json" and match["stem"] in results:
            yield _capture(place, match, None, stored)


def _capture(
    place: capture_places.Place,
    match: re.Match[str],
    picture: capture_files.Stored | None,
    result: capture_files.Stored | None,
) -> Capture:
    digits = match["time"].partition("T")[2].rstrip("Z")
    clock = dt.timedelta(
        hours=int(digits[:2]),
        minutes=int(digits[2:4]),
        seconds=float(f"{digits[4:6]}.{digits[6:] or 0}"),
    )
    day = dt.datetime.fromisoformat(match["day"]).replace(tzinfo=dt.UTC)
    return Capture(place, match["device"], match["id"], day + clock, picture, result)


def _list_devices(account: aws.Account, place: capture_places.Place) -> Iterator[str]:
    for page in _pages(account, place, Prefix=place.base, Delimiter="/"):
        for entry in page.get("CommonPrefixes", []):
            device = entry["Prefix"].removeprefix(place.base).rstrip("/")
            if _DEVICE.fullmatch(device):
                yield device


def _list_objects(
    account: aws.Account, place: capture_places.Place, device: str, since: dt.datetime | None
) -> Iterator[_Object]:
    base = f"{place.base}{device}/"
    after = {"StartAfter": f"{base}{since:%Y-%m-%d}"} if since else {}
    for page in _pages(account, place, Prefix=base, **after):
        for entry in page.get("Contents", []):
            match = _KEY.fullmatch(entry["Key"].removeprefix(place.base))
            if match and _is_day(match["day"]):
                yield match, capture_files.Stored(place.bucket, entry["Key"], int(entry["Size"]))


def _is_day(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _pages(
    account: aws.Account, place: capture_places.Place, **options: Any
) -> Iterator[dict[str, Any]]:
    paginator = account.client("s3").get_paginator("list_objects_v2")
    try:
        with aws.explained():
            yield from paginator.paginate(Bucket=place.bucket, **options)
    except aws.CloudError as error:
        if error.not_found:
            raise FleetError(
                f"cannot list captures: there is no bucket {place.bucket}",
                "`./inv up` makes the one that the inventory names; or give --bucket",
            ) from error
        raise
