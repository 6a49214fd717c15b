"""The uploader on a nucleus that has joined the local cloud: mTLS, role alias, token exchange, S3.

The role may put objects below `captures/<thing>/` and nowhere else, as role aws_prerequisites has
it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.integration.components import line as lines
from tests.support import cloud_site, devices

BUCKET = "press-captures"
_PUT = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{BUCKET}/captures/${{credentials-iot:ThingName}}/*",
        }
    ],
}
# Puts an object below each prefix it is given, with what the component has in its environment.
_PUTTER = """
import sys, boto3, botocore.exceptions
s3 = boto3.client("s3")
for key in sys.argv[2:]:
    try:
        s3.put_object(Bucket=sys.argv[1], Key=key, Body=b"x")
        print("put")
    except botocore.exceptions.ClientError as error:
        print(error.response["Error"]["Code"])
"""

pytestmark = devices.needs_mosquitto

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloud_site.Site]:
    """Return a cloud that all tests of this module share."""
    with cloud_site.running_site(tmp_path_factory.mktemp("site")) as running:
        place = {"LocationConstraint": cloud_site.REGION}
        running.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)
        running.cloud.client("iam").put_role_policy(
            RoleName="Press", PolicyName="captures", PolicyDocument=json.dumps(_PUT)
        )
        yield running


class Press:
    """A device with the uploader on it."""

    def __init__(self, device: cloud_site.Device) -> None:
        self.device = device
        self.nucleus = device.nucleus
        self.line = lines.Line(device.nucleus)
        self.line.results.mkdir()

    async def deploy(self) -> None:
        """Deploy the uploader; a picture whose best score is below 0.5 is to be captured."""
        lines.release_component(self.nucleus.release, lines.UPLOADER)
        merge = {
            "bucket": BUCKET,
            "resultsDirectory": str(self.line.results),
        }
        update = json.dumps({lines.UPLOADER: {"MERGE": merge}})
        report = await self.nucleus.deploy("--merge", lines.UPLOADER, "--update-config", update)
        assert report["status"] == "SUCCEEDED", report
        await self.nucleus.in_state(lines.UPLOADER, "RUNNING")

    async def analyse(self, identity: str, score: float) -> dict[str, Any]:
        """Do what the detector does with a picture: keep its result, and say it."""
        picture = self.line.pictures / f"{identity}.jpg"
        content = os.urandom(5000)
        picture.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        document = {
            "schema": "verge.detections/1",
            "id": identity,
            "device": self.device.thing,
            "picture": {"path": str(picture), "sha256": digest, "size": len(content)},
            "detections": [{"label": "tag", "score": score}],
            "time": "2026-11-21T10:15:02.345Z",
        }
        text = json.dumps(document)
        (self.line.results / f"{identity}.json").write_text(text)
        said = await self.nucleus.cli(
            *("pubsub", "pub", "--topic", "verge/detections", "--message", text)
        )
        assert said.code == 0, said
        return document

    def keys(self) -> list[str]:
        """Return what lies in S3 for this device."""
        found = self.device.site.s3.list_objects_v2(
            Bucket=BUCKET, Prefix=f"captures/{self.device.thing}/"
        )
        return [entry["Key"] for entry in found.get("Contents", [])]

    def content(self, key: str) -> bytes:
        """Return an object's content."""
        found = self.device.site.s3.get_object(Bucket=BUCKET, Key=key)
        return bytes(found["Body"].read())

    async def arrives(self, *documents: dict[str, Any]) -> None:
        """Wait until these captures, and no others, are in S3; compare every byte."""
        day = f"captures/{self.device.thing}/2026-11-21"
        wanted: dict[str, Any] = {}
        for document in documents:
            stem = f"{day}/2026-11-21T101502345Z-{document['id']}"
            wanted[f"{stem}.jpg"] = _read(document["picture"]["path"])
            wanted[f"{stem}.json"] = document
        await self.device.until(
            lambda: len(self.keys()) >= len(wanted), f"{len(wanted)} objects in S3"
        )
        assert self.keys() == sorted(wanted)
        for key, content in wanted.items():
            found = self.content(key)
            assert (json.loads(found) if key.endswith(".json") else found) == content

    async def says(self, text: str) -> None:
        """Wait for words in the uploader's log."""
        await self.nucleus.until(lambda: text in self._log(), text)

    def _log(self) -> str:
        return self.nucleus.log(lines.UPLOADER)

    def spooled(self) -> int:
        """Return how many files wait on the device."""
        spool = self.nucleus.work(lines.UPLOADER, "spool")
        return len(list(spool.iterdir())) if spool.is_dir() else 0


def _read(path: str) -> bytes:
    return Path(path).read_bytes()


@contextlib.asynccontextmanager
async def running_press(site: cloud_site.Site) -> AsyncIterator[Press]:
    """Run a device of its own for one test."""
    async with cloud_site.device(site, f"capture-{next(_numbers):02}", start=False) as device:
        ca = site.cloud.endpoints.ca_certificate
        device.nucleus.environment["AWS_CA_BUNDLE"] = ca
        await device.nucleus.start()
        await device.linked()
        yield Press(device)


async def test_an_unsure_picture_comes_with_its_result(
    site: cloud_site.Site, tmp_path: Path
) -> None:
    """What the real detector is unsure of lies in S3 with its result; the device's folder is all.

    With the same credentials nothing can be put for another device, or beside the captures.
    """
    async with running_press(site) as press:
        await press.deploy()
        await press.line.deploy()
        plain = tmp_path / "plain.png"
        Image.new("RGB", (320, 240), (90, 90, 90)).save(plain)
        press.line.drop(lines.PICTURES / "chelsea.png", "cat.png")
        press.line.drop(plain, "plain.png")
        found = await press.line.results_of("cat.png", "plain.png")
        await press.says("Capture uploaded")
        result, picture = press.keys()  # .json, .png
        assert press.content(picture) == plain.read_bytes()
        assert json.loads(press.content(result)) == found["plain.png"]
        thing = press.device.thing
        outcomes = await _put_as(
            press,
            *(f"captures/{thing}/own", "captures/press-99/foreign", "other/x"),
            *(f"captures/{thing}0/x", f"captures/{thing}"),
        )
        assert outcomes == ["put", *["AccessDenied"] * 4]


async def _put_as(press: Press, *keys: str) -> list[str]:
    """Put objects from a process that has the uploader's environment; return what S3 says."""
    pid = press.line.process(lines.UPLOADER)
    pairs = _read(f"/proc/{pid}/environ").decode().rstrip("\0").split("\0")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PUTTER, BUCKET, *keys),
        env=dict(pair.split("=", 1) for pair in pairs),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode().split()


async def test_captures_outlive_the_cloud(site: cloud_site.Site) -> None:
    """What was taken while the cloud was killed arrives when it is back, each once."""
    async with running_press(site) as press:
        await press.deploy()
        first = await press.analyse("before", 0.4)
        await press.arrives(first)
        await asyncio.to_thread(site.cloud.kill)
        try:
            during = [await press.analyse(f"during-{number}", 0.4) for number in range(3)]
            await press.analyse("sure", 0.6)
            await press.says("Captures wait")
        finally:
            await asyncio.to_thread(site.cloud.start)
        await press.arrives(first, *during)
        await press.nucleus.until(lambda: press.spooled() == 0, "the spool is empty")


async def test_captures_outlive_the_nucleus(site: cloud_site.Site) -> None:
    """What waits for the network when the nucleus is killed arrives with its successor, once."""
    async with running_press(site) as press:
        await press.deploy()
        press.device.https.cut()
        waiting = [await press.analyse(f"waiting-{number}", 0.4) for number in range(3)]
        await press.nucleus.until(lambda: press.spooled() == 6, "all are in the spool")
        await press.nucleus.kill()
        press.device.https.mend()
        await press.nucleus.start()
        await press.arrives(*waiting)
        await press.nucleus.until(lambda: press.spooled() == 0, "the spool is empty")
