"""The process is killed, refused and stopped; what it acknowledged stays."""

from __future__ import annotations

import hashlib
import json
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions

from tests.support import running_cloud

pytestmark = pytest.mark.timeout(180)  # processes are started many times

MIB = 1024 * 1024
WRITERS = 3


class _Writer(threading.Thread):
    """Creates things, parameters and objects until the cloud is gone; notes what it was told."""

    def __init__(self, cloud: running_cloud.RunningCloud, number: int, life: int) -> None:
        super().__init__(daemon=True)
        self._clients = [cloud.client(name) for name in ("iot", "ssm", "s3")]
        self._name = f"w{number}-{life}"
        self.things: dict[str, str] = {}
        self.parameters: dict[str, str] = {}
        self.objects: dict[str, bytes] = {}
        self.error: BaseException | None = None

    def run(self) -> None:
        iot, ssm, s3 = self._clients
        try:
            for count in range(100_000):
                name = f"{self._name}-{count}"
                self.things[name] = iot.create_thing(thingName=name)["thingId"]
                ssm.put_parameter(Name=f"/{name}", Value=name, Type="String")
                self.parameters[f"/{name}"] = name
                body = name.encode() * 2000
                s3.put_object(Bucket="journal", Key=name, Body=body)
                self.objects[name] = hashlib.sha256(body).digest()
        except exceptions.BotoCoreError:
            pass  # the cloud has been killed
        except BaseException as error:  # noqa: BLE001  # raised in the test's own thread
            self.error = error


def test_nothing_acknowledged_is_lost_under_load(tmp_path: Path) -> None:
    """Several writers, SIGKILL at random moments: each acknowledged write is found, by its id."""
    with running_cloud.running(tmp_path / "cloud") as cloud:
        cloud.client("s3").create_bucket(
            Bucket="journal", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        writers = []
        for life in range(2):
            current = [_Writer(cloud, number, life) for number in range(WRITERS)]
            for writer in current:
                writer.start()
            running_cloud.wait_for(lambda now=current: all(w.objects for w in now), "all write")
            time.sleep(random.uniform(0.0, 0.4))  # the moment of death is to be any  # noqa: S311
            cloud.kill()
            for writer in current:
                writer.join(20)
                assert not writer.is_alive()
                assert writer.error is None, writer.error
            writers += current
            cloud.start()

        _check(cloud, writers)
        stray = [path for path in (cloud.state / "objects").glob("*/*") if path.is_file()]
        listed = cloud.client("s3").get_paginator("list_objects_v2").paginate(Bucket="journal")
        assert len(stray) == sum(len(page["Contents"]) for page in listed)


def _check(cloud: running_cloud.RunningCloud, writers: list[_Writer]) -> None:
    iot, ssm, s3 = (cloud.client(name) for name in ("iot", "ssm", "s3"))
    for writer in writers:
        assert writer.things
        for name, thing_id in writer.things.items():
            assert iot.describe_thing(thingName=name)["thingId"] == thing_id
        for name, value in writer.parameters.items():
            assert ssm.get_parameter(Name=name)["Parameter"]["Value"] == value
        for name, digest in writer.objects.items():
            body = s3.get_object(Bucket="journal", Key=name)["Body"].read()
            assert hashlib.sha256(body).digest() == digest


def test_an_upload_goes_on_after_sigkill(tmp_path: Path) -> None:
    """The parts that were acknowledged need not be sent again."""
    part, named = 5 * MIB, {"Bucket": "artifacts", "Key": "big"}
    with running_cloud.running(tmp_path / "cloud") as cloud:
        s3 = cloud.client("s3")
        s3.create_bucket(
            Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        upload = {**named, "UploadId": s3.create_multipart_upload(**named)["UploadId"]}
        s3.upload_part(**upload, PartNumber=1, Body=b"1" * part)
        cloud.kill()
        cloud.start()
        s3.upload_part(**upload, PartNumber=2, Body=b"2")
        parts = [
            {"PartNumber": each["PartNumber"], "ETag": each["ETag"]}
            for each in s3.list_parts(**upload)["Parts"]
        ]
        s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        cloud.kill()
        cloud.start()
        assert s3.get_object(**named)["Body"].read() == b"1" * part + b"2"
        assert cloud.stop() == 0
        assert not (cloud.state / "endpoints.json").exists()


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "verge.cloud", *words],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
        env={
            "PYTHONPATH": str(running_cloud.REPOSITORY / "src"),
            "PATH": "/usr/sbin:/usr/bin:/bin",
        },
    )


def test_a_second_process_is_refused(cloud: running_cloud.RunningCloud) -> None:
    """One process a state directory: the second says who has it, and does not disturb it."""
    refused = _run("serve", "--state", str(cloud.state), "--port", "0")
    assert refused.returncode == 3
    assert f"process {cloud.process.pid} holds its lock since" in refused.stderr
    refused = _run("reset", "--state", str(cloud.state))
    assert refused.returncode == 1
    assert f"process {cloud.process.pid}" in refused.stderr
    assert cloud.client("sts").get_caller_identity()["Account"] == "123456789012"


@pytest.mark.parametrize(
    ("option", "others"),
    [
        ("--port", ("--device-port", "--mqtt-port")),
        ("--device-port", ("--port", "--mqtt-port")),
        ("--mqtt-port", ("--port", "--device-port")),
    ],
)
def test_a_taken_port_is_named(tmp_path: Path, option: str, others: tuple[str, ...]) -> None:
    """A port that somebody else has ends the start with one sentence."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        free = [word for other in others for word in (other, "0")]
        refused = _run("serve", "--state", str(tmp_path / "s"), option, str(port), *free)
    assert refused.returncode == 3
    last = refused.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ERROR cannot listen on 127.0.0.1:{port}")
    assert option in last
    assert refused.stdout == ""


def test_reset_empties_the_state(tmp_path: Path) -> None:
    """Reset deletes what the cloud keeps, and nothing that is not its own."""
    with running_cloud.running(tmp_path / "cloud") as cloud:
        cloud.client("iot").create_thing(thingName="press-07")
        cloud.stop()
        assert _run("reset", "--state", str(cloud.state)).returncode == 0
        assert {path.name for path in cloud.state.iterdir()} <= {"lock"}
        cloud.start()
        assert cloud.client("iot").list_things()["things"] == []
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("dear")
    refused = _run("reset", "--state", str(mine))
    assert refused.returncode == 1
    assert (mine / "letter.txt").exists()


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    """A file that is no database ends the start with one sentence and stays as it is."""
    state = tmp_path / "state"
    state.mkdir()
    (state / "cloud.db").write_bytes(b"not a database" * 100)
    ports = [word for name in ("--port", "--device-port", "--mqtt-port") for word in (name, "0")]
    refused = _run("serve", "--state", str(state), *ports)
    assert refused.returncode == 3
    assert refused.stderr.strip().splitlines()[-1].startswith(f"ERROR cannot open {state}/cloud.db")
    assert (state / "cloud.db").read_bytes().startswith(b"not a database")


def test_endpoints_are_where_they_say(cloud: running_cloud.RunningCloud) -> None:
    """endpoints.json is JSON in the documented names, and every port in it is open."""
    document: dict[str, Any] = json.loads((cloud.state / "endpoints.json").read_bytes())
    assert document["pid"] == cloud.process.pid
    assert document["api"].startswith("http://127.0.0.1:")
    assert Path(document["caCertificate"]).read_text().startswith("-----BEGIN CERTIFICATE")
    for name in ("devicePort", "mqttPort"):
        with socket.create_connection((document["deviceAddresses"][0], document[name]), 5):
            pass
