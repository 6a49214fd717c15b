"""The captures of a fleet: what there is, what was seen on it, and a copy of all of it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime as dt
import heapq
import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verge.fleet import aws, capture_files, capture_listing, capture_places, output

READERS = 8
"""Results and pictures that are fetched at once."""

_BATCH = 256


@dataclass(frozen=True)
class Verdict:
    """What the detector was most sure of; without a detection, label None and score 0."""

    label: str | None
    score: float | None
    """None: there is no result, or none that can be read."""


@dataclass(frozen=True)
class Wanted:
    """Which captures are meant."""

    device: str = ""
    since: dt.datetime | None = None
    limit: int = 0
    """The newest so many are shown; 0: all."""


@dataclass
class Found:
    """The captures of some places."""

    places: list[capture_places.Place]
    newest: list[tuple[capture_listing.Capture, Verdict]] = field(default_factory=list)
    total: int = 0
    incomplete: int = 0
    size: int = 0
    """Bytes of all."""
    download: capture_files.Download | None = None


def gather(
    account: aws.Account,
    places: list[capture_places.Place],
    wanted: Wanted,
    reporter: output.Reporter,
    folder: Path | None = None,
) -> Found:
    """Return the newest captures with what was seen on them, and how many there are.

    With `folder`, every complete capture that is not there yet is downloaded into it.
    Raises FleetError if a bucket is missing or may not be read.
    """
    found = Found(places, download=capture_files.Download() if folder else None)
    newest: list[capture_listing.Capture] = []
    turn = capture_files.alone(folder, reporter.detail) if folder else contextlib.nullcontext()
    with turn, concurrent.futures.ThreadPoolExecutor(READERS) as pool:
        stream = itertools.chain.from_iterable(
            capture_listing.list_captures(account, place, wanted.device, wanted.since)
            for place in places
        )
        while batch := list(itertools.islice(stream, _BATCH)):
            _count(found, batch)
            newest = _newest(newest, batch, wanted.limit)
            if folder is not None and found.download is not None:
                pairs = [(one.picture, one.result) for one in batch if one.picture and one.result]
                capture_files.fetch(account, pairs, places, folder, pool, found.download)
            reporter.now(f"{found.total:,} captures")
        reporter.clear()
        newest.sort(key=_moment, reverse=True)
        verdicts = pool.map(lambda one: _read_verdict(account, one), newest)
        found.newest = list(zip(newest, verdicts, strict=True))
    return found


def _count(found: Found, batch: Iterable[capture_listing.Capture]) -> None:
    for capture in batch:
        found.total += 1
        found.incomplete += not capture.complete
        found.size += capture.size


def _newest(
    former: list[capture_listing.Capture], batch: list[capture_listing.Capture], limit: int
) -> list[capture_listing.Capture]:
    return heapq.nlargest(limit, former + batch, key=_moment) if limit else former + batch


def _moment(capture: capture_listing.Capture) -> tuple[dt.datetime, str, str]:
    return capture.time, capture.device, capture.id


def _read_verdict(account: aws.Account, capture: capture_listing.Capture) -> Verdict:
    if capture.result is None:
        return Verdict(None, None)
    with aws.explained():
        stored = capture.result
        answer = account.client("s3").get_object(Bucket=stored.bucket, Key=stored.key)
        content = answer["Body"].read()
    return read_verdict(content)


def read_verdict(content: bytes) -> Verdict:
    """Return the best detection of a result document; score None if it is none."""
    try:
        detections = json.loads(content)["detections"]
        if not detections:
            return Verdict(None, 0.0)
        best = max(detections, key=lambda item: float(item["score"]))
        return Verdict(str(best["label"]), float(best["score"]))
    except (ValueError, TypeError, KeyError):
        return Verdict(None, None)


def describe(found: Found) -> dict[str, Any]:
    """Return captures as one plain document."""
    return {
        "places": [place.uri for place in found.places],
        "total": found.total,
        "incomplete": found.incomplete,
        "size": found.size,
        "captures": [
            {
                "device": capture.device,
                "id": capture.id,
                "time": capture.time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "label": verdict.label,
                "score": verdict.score,
                "size": capture.size,
                "bucket": capture.place.bucket,
                "picture": capture.picture.key if capture.picture else None,
                "result": capture.result.key if capture.result else None,
                "complete": capture.complete,
            }
            for capture, verdict in found.newest
        ],
        "download": found.download.describe() if found.download else None,
    }
