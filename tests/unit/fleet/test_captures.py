"""Where captures lie, and what is read and printed of them; the cloud has its own tests."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from verge.fleet import (
    capture_files,
    capture_listing,
    capture_places,
    capture_report,
    captures,
    errors,
    inventory,
)

PLACE = capture_places.Place("b", "captures")


def fleet(**merges: Mapping[str, Any] | None) -> inventory.Inventory:
    """Return an inventory whose devices configure the uploader so, or do not have it."""
    devices = {
        name: inventory.Device(
            name,
            (),
            {},
            {}
            if merge is None
            else {capture_places.UPLOADER: {"configuration": {"merge": dict(merge)}}},
        )
        for name, merge in merges.items()
    }
    return inventory.Inventory(Path("inventory/local"), {}, devices)


@pytest.mark.parametrize(
    ("devices", "device", "bucket", "expected"),
    [
        pytest.param({"one": {"bucket": "b"}}, "", "", ["s3://b/captures/"], id="default prefix"),
        pytest.param(
            {"one": {"bucket": "b", "prefix": "/p/q/"}}, "", "", ["s3://b/p/q/"], id="own"
        ),
        pytest.param({"one": {"bucket": "b", "prefix": ""}}, "", "", ["s3://b/"], id="no prefix"),
        pytest.param(
            {"one": {"bucket": "b"}, "two": {"bucket": "b"}, "three": None},
            *("", "", ["s3://b/captures/"]),
            id="the same for several",
        ),
        pytest.param(
            {"one": {"bucket": "b"}, "two": {"bucket": "c"}},
            *("two", "", ["s3://c/captures/"]),
            id="of one device",
        ),
        pytest.param(
            {"one": {"bucket": "b"}}, "gone", "", ["s3://b/captures/"], id="a device that is gone"
        ),
        pytest.param(
            {"one": {"bucket": "b", "prefix": "p"}}, "", "c", ["s3://c/p/"], id="another bucket"
        ),
        pytest.param({"one": None}, "", "c", ["s3://c/captures/"], id="nothing but a bucket"),
    ],
)
def test_places_come_from_the_desired_state(
    devices: dict[str, Mapping[str, Any] | None], device: str, bucket: str, expected: list[str]
) -> None:
    """Bucket and prefix are those that the devices are to have; a bucket may be given."""
    found = capture_places.find_places(fleet(**devices), device, bucket)
    assert [place.uri for place in found] == expected


@pytest.mark.parametrize("merge", [None, {}, {"bucket": ""}])
def test_without_a_bucket_the_next_step_is_said(merge: Mapping[str, Any] | None) -> None:
    """An inventory without a bucket is refused, with the page that says how to set one."""
    with pytest.raises(errors.FleetError, match="cannot tell where captures lie") as caught:
        capture_places.find_places(fleet(one=merge))
    assert "collect-pictures-for-labelling.md" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("2026-11-21", dt.datetime(2026, 11, 21, tzinfo=dt.UTC)),
        ("2026-11-21T06:30", dt.datetime(2026, 11, 21, 6, 30, tzinfo=dt.UTC)),
        ("2026-11-21T06:30:00+02:00", dt.datetime(2026, 11, 21, 4, 30, tzinfo=dt.UTC)),
    ],
)
def test_since_is_a_date_or_a_time(text: str, expected: dt.datetime | None) -> None:
    """A time without a zone is UTC."""
    assert capture_listing.read_since(text) == expected


def test_since_refuses_anything_else() -> None:
    """What is no date is refused with an example."""
    with pytest.raises(errors.FleetError, match="cannot read --since 'yesterday'"):
        capture_listing.read_since("yesterday")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"detections": []}', (None, 0.0)),
        (b'{"detections": [{"label": "a", "score": 0.1}, {"label": "b", "score": 0.3}]}',
         ("b", 0.3)),
        (b"", (None, None)),
        (b"[]", (None, None)),
        (b'{"detections": [{"label": "a"}]}', (None, None)),
        (b'{"detections": {"a": 1}}', (None, None)),
        (b"\xff", (None, None)),
    ],
)  # fmt: skip
def test_the_best_detection_speaks_for_a_capture(
    content: bytes, expected: tuple[str | None, float | None]
) -> None:
    """The highest score counts; what is no result has none."""
    assert captures.read_verdict(content) == captures.Verdict(*expected)


def found(*halves: tuple[bool, bool], shown: int | None = None) -> captures.Found:
    """Return captures that have a picture and a result, or not."""
    newest = [
        (
            capture_listing.Capture(
                PLACE,
                "press-01",
                str(number),
                dt.datetime(2026, 11, 21, 10, 15, number, tzinfo=dt.UTC),
                capture_files.Stored("b", f"captures/{number}.jpg", 2000) if picture else None,
                capture_files.Stored("b", f"captures/{number}.json", 500) if result else None,
            ),
            captures.Verdict("tag", 0.31) if result else captures.Verdict(None, None),
        )
        for number, (picture, result) in enumerate(halves)
    ]
    incomplete = sum(not (picture and result) for picture, result in halves)
    size = sum(capture.size for capture, _ in newest)
    return captures.Found([PLACE], newest[:shown], len(newest), incomplete, size)


def test_the_table_says_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Each capture has a row, halves say which half is missing, and a line sums up."""
    item = found((True, True), (True, False), (False, True), (True, True), shown=3)
    item.download = capture_files.Download(fetched=1, present=2, size=3_000_000)
    capture_report.print_captures(item)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "press-01 2026-11-21 10:15:00 tag 0.31 2 captures/0.jpg" in lines
    assert "press-01 2026-11-21 10:15:01 incomplete: no .json 2 captures/1.jpg" in lines
    assert "press-01 2026-11-21 10:15:02 incomplete: no picture 0.31 0 captures/2.json" in lines
    assert lines[-2:] == [
        (
            "4 captures in s3://b/captures/ (0.0 MB), 2 of them incomplete; "
            "the newest 3 are shown, `--limit 0` shows all."
        ),
        "Downloaded 1 capture (3.0 MB); 2 were there.",
    ]


def test_no_capture_is_said_with_the_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty place says so, and how captures come about."""
    capture_report.print_captures(found())
    text = capsys.readouterr().out
    assert text.startswith("No captures in s3://b/captures/.\nTIP ")
    assert "./inv drop PICTURE" in text


def test_machines_read_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """The document has every fact of the table, with whole keys."""
    capture_report.print_captures(found((True, True), (True, False)), as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert (document["total"], document["incomplete"]) == (2, 1)
    assert document["captures"][0] == {
        "bucket": "b",
        "complete": True,
        "device": "press-01",
        "id": "0",
        "label": "tag",
        "picture": "captures/0.jpg",
        "result": "captures/0.json",
        "score": 0.31,
        "size": 2500,
        "time": "2026-11-21T10:15:00.000Z",
    }
    assert document["captures"][1]["result"] is None


def test_a_device_name_leads_nowhere_else() -> None:
    """A name that no thing can have is refused before anything is listed."""
    with pytest.raises(errors.FleetError, match="no device has such a name"):
        list(capture_listing.list_captures(None, PLACE, "../x"))  # type: ignore[arg-type]
