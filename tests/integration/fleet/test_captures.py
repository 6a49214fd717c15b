"""Captures in a real local cloud: listed newest first, and downloaded, however many there are."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime as dt
import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import running_cloud
from verge.fleet import (
    aws,
    capture_listing,
    capture_places,
    captures,
    errors,
    inventory,
    output,
    project,
)

REGION = "eu-west-1"
# Downloads, and stops for good once so many files have come.
PROGRAM = """
import signal, sys
from pathlib import Path
from verge.fleet import aws, capture_files, capture_places, captures, output
account = aws.Account(aws.Access("eu-west-1", sys.argv[1], "AKIAEXAMPLEEXAMPLE00", "s" * 40))
came, store = [], capture_files._store
def stop(body, part):
    came.append(part)
    if len(came) == int(sys.argv[4]):
        part.write_bytes(body.read(10))
        print("stopped", flush=True)
        signal.pause()
    return store(body, part)
capture_files._store = stop
captures.READERS = 1
places = [capture_places.Place(sys.argv[2], "captures")]
captures.gather(account, places, captures.Wanted(), output.Reporter(), Path(sys.argv[3]))
"""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running_cloud.RunningCloud]:
    """Return a local cloud that all tests here share; each has a bucket of its own."""
    with running_cloud.running(tmp_path_factory.mktemp("cloud") / "state") as running:
        yield running


@pytest.fixture
def account(cloud: running_cloud.RunningCloud) -> aws.Account:
    """Return the account of the cloud, as the verbs reach it."""
    access = aws.Access(REGION, cloud.endpoints.api, "AKIAEXAMPLEEXAMPLE00", "s" * 40)
    return aws.Account(access)


class Bucket:
    """A bucket, and what the uploader would put there."""

    def __init__(self, account: aws.Account, name: str) -> None:
        self.place = capture_places.Place(name, "captures")
        self._s3 = account.client("s3")
        where = {"LocationConstraint": REGION}
        self._s3.create_bucket(Bucket=name, CreateBucketConfiguration=where)

    def put(self, key: str, body: bytes) -> None:
        self._s3.put_object(Bucket=self.place.bucket, Key=f"captures/{key}", Body=body)

    def capture(self, device: str, moment: str, name: str, *found: tuple[str, float]) -> str:
        """Put a picture with its result; return the key without its suffix."""
        compact = moment.replace(":", "").replace(".", "")
        stem = f"{device}/{moment[:10]}/{compact}-{name}"
        self.put(f"{stem}.jpg", f"picture {name}".encode())
        detections = [{"label": label, "score": score} for label, score in found]
        self.put(f"{stem}.json", json.dumps({"id": name, "detections": detections}).encode())
        return stem


@pytest.fixture
def bucket(account: aws.Account, request: pytest.FixtureRequest) -> Bucket:
    """Return a bucket of this test's own."""
    name = request.node.name.split("[")[0].replace("_", "-")
    return Bucket(account, name[:60].strip("-"))


def gather(
    account: aws.Account, bucket: Bucket, folder: Path | None = None, **wanted: Any
) -> captures.Found:
    """Gather what lies in one bucket."""
    asked = captures.Wanted(**wanted)
    return captures.gather(account, [bucket.place], asked, output.Reporter(), folder)


def names(found: captures.Found) -> list[str]:
    """Return the ids in the order they are shown."""
    return [capture.id for capture, _ in found.newest]


def test_the_newest_come_first_with_their_best(account: aws.Account, bucket: Bucket) -> None:
    """Captures of all devices stand in one order of time, each with its best label and score."""
    bucket.capture("press-01", "2026-11-20T10:00:00.000Z", "old", ("tag", 0.2), ("hand", 0.4))
    bucket.capture("press-02", "2026-11-21T09:00:00.500Z", "new")
    bucket.capture("press-01", "2026-11-21T09:00:00.400Z", "a.b", ("tag", 0.3))
    found = gather(account, bucket)
    assert names(found) == ["new", "a.b", "old"]
    assert [verdict for _, verdict in found.newest] == [
        captures.Verdict(None, 0.0),
        captures.Verdict("tag", 0.3),
        captures.Verdict("hand", 0.4),
    ]
    newest = found.newest[0][0]
    assert newest.time == dt.datetime(2026, 11, 21, 9, 0, 0, 500_000, dt.UTC)
    assert newest.key == "captures/press-02/2026-11-21/2026-11-21T090000500Z-new.jpg"
    assert names(gather(account, bucket, device="press-01")) == ["a.b", "old"]
    limited = gather(account, bucket, limit=1)
    assert (names(limited), limited.total) == (["new"], 3)
    since = capture_listing.read_since("2026-11-21T09:00:00.450")
    assert names(gather(account, bucket, since=since)) == ["new"]
    assert gather(account, bucket, device="press-09").total == 0


def test_what_lacks_its_other_half_is_incomplete(
    account: aws.Account, bucket: Bucket, tmp_path: Path
) -> None:
    """A picture without .json, or the reverse, is told and not downloaded; strangers are no matter.

    A result that cannot be read is one without a label.
    """
    bucket.put("press-01/2026-11-21/2026-11-21T100000000Z-half.jpg", b"picture")
    bucket.put("press-01/2026-11-21/2026-11-21T100001000Z-text.json", b"{}")
    bucket.put("press-01/2026-11-21/2026-11-21T100002000Z-odd.jpg", b"picture")
    bucket.put("press-01/2026-11-21/2026-11-21T100002000Z-odd.json", b"no result")
    for stranger in (
        "press-01/",
        "press-01/2026-11-21/notes.txt",
        "README",
        "press-01/2026-02-30/x",
    ):
        bucket.put(stranger, b"")
    bucket.put("press-01/2026-02-30/2026-02-30T100000000Z-day.jpg", b"")
    bucket.put("../2026-11-21/2026-11-21T100000000Z-out.jpg", b"")
    bucket.put("../2026-11-21/2026-11-21T100000000Z-out.json", b"{}")
    found = gather(account, bucket, tmp_path)
    assert names(found) == ["odd", "text", "half"]
    assert [capture.complete for capture, _ in found.newest] == [True, False, False]
    assert {verdict.score for _, verdict in found.newest} == {None}
    assert (found.total, found.incomplete) == (3, 2)
    assert found.download is not None
    assert found.download.fetched == 1
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == [
        "2026-11-21T100002000Z-odd.jpg",
        "2026-11-21T100002000Z-odd.json",
    ]


def test_more_than_a_page(account: aws.Account, bucket: Bucket, tmp_path: Path) -> None:
    """With more objects than S3 lists at once all are counted, and all come."""
    moments = [f"2026-11-21T10:{n // 60:02}:{n % 60:02}.000Z" for n in range(520)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        put = functools.partial(bucket.capture, "press-01")
        stems = list(pool.map(put, moments, [f"n{n}" for n in range(520)]))
    found = gather(account, bucket, tmp_path, limit=2)
    assert (found.total, names(found)) == (520, ["n519", "n518"])
    assert sum((tmp_path / f"{stem}.jpg").is_file() for stem in stems) == 520
    again = gather(account, bucket, tmp_path, limit=2)
    assert again.download is not None
    assert (again.download.fetched, again.download.present) == (0, 520)


@contextlib.contextmanager
def stopped_download(
    account: aws.Account, bucket: Bucket, folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Download in a process that stops for good amid the sixth file; it is killed at the end."""
    arguments = (str(account.access.endpoint), bucket.place.bucket, str(folder), "6")
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**os.environ, "PYTHONPATH": str(running_cloud.REPOSITORY / "src")},
        stdout=subprocess.PIPE,
    )
    with child:
        assert child.stdout
        try:
            assert child.stdout.readline() == b"stopped\n"
            yield child
        finally:
            child.kill()


def test_downloads_into_one_folder_take_turns(
    account: aws.Account, bucket: Bucket, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A second download waits for the first, says so, and fetches what that left out."""
    for number in range(6):
        bucket.capture("press-01", f"2026-11-21T10:00:0{number}.000Z", str(number), ("tag", 0.1))
    with (
        concurrent.futures.ThreadPoolExecutor() as pool,
        stopped_download(account, bucket, tmp_path) as first,
    ):
        second = pool.submit(gather, account, bucket, tmp_path)
        said = ""
        while f"Waiting for another download into {tmp_path}" not in said:
            assert not second.done()
            said += capfd.readouterr().err
        first.kill()
        found = second.result()
    assert found.download is not None
    assert (found.download.fetched, found.download.present) == (4, 2)


def test_a_download_that_was_killed_goes_on(
    account: aws.Account, bucket: Bucket, tmp_path: Path
) -> None:
    """SIGKILL amid a file leaves whole files only; the next run brings the rest, and no more."""
    stems = [
        bucket.capture("press-01", f"2026-11-21T10:00:0{n}.000Z", str(n), ("tag", 0.1))
        for n in range(6)
    ]
    with stopped_download(account, bucket, tmp_path):
        pass
    whole = [path for path in tmp_path.rglob("*.j*") if not path.name.startswith(".")]
    assert len(whole) == 5
    found = gather(account, bucket, tmp_path)
    assert found.download is not None
    assert (found.download.fetched, found.download.present) == (4, 2)
    for number, stem in enumerate(stems):
        assert (tmp_path / f"{stem}.jpg").read_bytes() == f"picture {number}".encode()
        assert json.loads((tmp_path / f"{stem}.json").read_bytes())["id"] == str(number)
    assert not list(tmp_path.rglob(".*"))


def test_no_bucket_is_said_with_the_next_step(account: aws.Account) -> None:
    """A bucket that is not there is named, with what makes it."""
    place = capture_places.Place("no-such-captures", "captures")
    with pytest.raises(errors.FleetError, match="there is no bucket no-such-captures") as caught:
        captures.gather(account, [place], captures.Wanted(), output.Reporter())
    assert "./inv up" in str(caught.value.hint)


def test_the_bucket_of_the_inventory_is_made_once(account: aws.Account, tmp_path: Path) -> None:
    """Buckets that devices put captures into are made private, and only if they are missing."""
    wanted = {"verge.CaptureUploader": {"configuration": {"merge": {"bucket": "made-once"}}}}
    device = inventory.Device("press-01", ("line",), {}, wanted)
    fleet = inventory.Inventory(tmp_path, {"line": ("press-01",)}, {"press-01": device})
    where = project.Project(tmp_path)
    made = [
        capture_places.ensure_buckets(where, account, fleet, output.Reporter()) for _ in range(2)
    ]
    assert made == [["made bucket made-once"], []]
    block = account.client("s3").get_public_access_block(Bucket="made-once")
    assert set(block["PublicAccessBlockConfiguration"].values()) == {True}
