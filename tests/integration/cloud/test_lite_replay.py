"""AWS's own Lite 2.6, replayed message by message: the cloud answers all that Lite waited for.

The recording holds what Lite sent and what it was sent. Here its messages go out again, in their
order, over real TLS with a certificate of this cloud; each message that Lite was sent must come,
with at least the members that were recorded and within the sizes that Lite takes.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore import auth, awsrequest, credentials

from tests.support import core_devices, devices, mqtt_client, running_cloud

TRACE = Path(__file__).parents[4] / "shared" / "data" / "lite-trace.jsonl"
THING, GROUP, REGION, ALIAS = "edge-01", "line1", "us-east-1", "LocalRoleAlias"
BUCKET = "lite-artifacts"
COMPONENT = "com.example.App"
VERSIONS = ("1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0")
PATIENCE = 20.0

MESSAGE_LIMIT = 5000
"""Lite drops larger messages without a word."""
GROUPS_LIMIT, URL_LIMIT, RECIPE_LIMIT, RESOLVE_LIMIT = 2048, 2000, 8196, 16_384

SKIPPED = frozenset({"components", "schemaVersion", "pad"})
"""Compared by value; what AWS calls `schemaDate` and Lite does not read (contract 3.2); filling
with which the recording found how large a message may be.
"""

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "credentials.iot.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
READ = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    ],
}
DEMO = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "iot:Publish",
            "Resource": "arn:aws:iot:*:*:topic/demo/*",
        }
    ],
}

pytestmark = [
    pytest.mark.skipif(not TRACE.is_file(), reason=f"no recording of Lite: {TRACE.name} is absent"),
    devices.needs_mosquitto,
]


class Replay:
    """Plays the device's part against a running cloud."""

    def __init__(self, cloud: running_cloud.RunningCloud, identity: core_devices.Identity) -> None:
        self.cloud = cloud
        self.identity = identity
        self.names: dict[str, str] = {"BUCKET": BUCKET}
        """What the recording calls things → what they are called here."""
        self.received: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.mqtt = mqtt_client.Mqtt(lambda *message: self.received.put_nowait(message))
        self.keys: dict[str, str] = {}
        self.url = ""
        self.answered = 0
        self.largest = 0
        self._last_execution: dict[str, Any] = {}
        self._greengrass = cloud.client("greengrassv2")

    async def connect(self) -> None:
        """Connect and subscribe as Lite does."""
        ports = self.cloud.endpoints
        await self.mqtt.connect(
            "127.0.0.1", ports.mqtt_port, self.identity.context, self.identity.thing
        )
        jobs = f"$aws/things/{THING}/jobs"
        await self.mqtt.subscribe(f"{jobs}/notify-next-{core_devices.NAMESPACE}")
        await self.mqtt.subscribe(f"{jobs}/$next/{core_devices.NAMESPACE}/get/accepted")
        await self.mqtt.subscribe(f"{jobs}/+/{core_devices.NAMESPACE}/update/accepted")

    async def play(self, message: dict[str, Any]) -> None:
        """Send what the device sent, or wait for what it was sent."""
        if message["channel"] == "https":
            await asyncio.to_thread(self._request, message)
        elif message["from"] == "device":
            await self.mqtt.publish(
                self._renamed(message["topic"]), self._renamed(message["payload"])
            )
        elif "execution" in message["payload"]:
            await self._deploy(message["payload"]["execution"])
            await self._expect(message)
            self._learn(message["payload"]["execution"], self._last_execution)
        else:
            await self._expect(message)

    async def _deploy(self, execution: dict[str, Any]) -> None:
        components = {
            name: {
                "componentVersion": wanted["version"],
                "configurationUpdate": {
                    "merge": json.dumps(wanted["configurationUpdate"]["merge"])
                },
            }
            for name, wanted in execution["jobDocument"]["components"].items()
        }
        answer = await asyncio.to_thread(
            self._greengrass.create_deployment,
            targetArn=f"arn:aws:iot:{REGION}:123456789012:thinggroup/{GROUP}",
            deploymentName=execution["jobDocument"]["deploymentName"],
            components=components,
        )
        self.names[execution["jobId"]] = answer["iotJobId"]
        self.names[execution["jobDocument"]["deploymentId"]] = answer["deploymentId"]

    async def _expect(self, message: dict[str, Any]) -> None:
        """Wait for the message that was recorded; a withdrawn job may be told of before."""
        topic, recorded = self._renamed(message["topic"]), self._renamed(message["payload"])
        while True:
            async with asyncio.timeout(PATIENCE):
                found_topic, found = await self.received.get()
            if found_topic == topic and ("execution" in found) == ("execution" in recorded):
                break
        check_members(recorded, found, topic)
        if "clientToken" in recorded:
            assert found["clientToken"] == recorded["clientToken"]
        size = len(json.dumps(found, separators=(",", ":")))
        assert size <= MESSAGE_LIMIT, f"{size} bytes on {topic}"
        self.largest = max(self.largest, size)
        self.answered += 1
        self._last_execution = found.get("execution", {})

    def _learn(self, recorded: dict[str, Any], found: dict[str, Any]) -> None:
        assert found["jobId"] == self.names[recorded["jobId"]]
        document = found["jobDocument"]
        assert document["deploymentId"] == self.names[recorded["jobDocument"]["deploymentId"]]
        for name, wanted in recorded["jobDocument"]["components"].items():
            sent = document["components"][name]
            assert sent["version"] == wanted["version"]
            assert sent["configurationUpdate"]["merge"] == wanted["configurationUpdate"]["merge"]
        arn = recorded["jobDocument"]["configurationArn"]
        assert document["configurationArn"].rpartition(":")[0] == arn.rpartition(":")[0]
        self.names[arn] = document["configurationArn"]

    def _request(self, message: dict[str, Any]) -> None:
        host, path, method = message["host"], message["path"], message["method"]
        headers = {"Accept": message["headers"]["Accept"]}
        if host.startswith("BUCKET."):
            self._download(host, path)
        elif host.startswith("presigned."):
            target = urllib.parse.urlsplit(self.url)
            self._ask("GET", f"{target.path}?{target.query}", {"Host": target.netloc}, mutual=False)
        elif path.startswith("/role-aliases/"):
            headers["x-amzn-iot-thingname"] = message["headers"]["x-amzn-iot-thingname"]
            answer = json.loads(self._ask(method, path, headers))["credentials"]
            assert set(answer) == {"accessKeyId", "secretAccessKey", "sessionToken", "expiration"}
            self.keys = answer
        else:
            headers["Content-type"] = message["headers"]["Content-type"]
            body = None if message["body"] is None else json.dumps(message["body"])
            self._check_data_plane(path, self._ask(method, path, headers, body))
        self.answered += 1

    def _check_data_plane(self, path: str, content: bytes) -> None:
        answer = json.loads(content)
        if path.endswith("/thingGroups"):
            assert [each["thingGroupName"] for each in answer["thingGroups"]] == [GROUP]
            assert len(content) <= GROUPS_LIMIT
        elif path.endswith("/resolveComponentCandidates"):
            (found,) = answer["resolvedComponentVersions"]
            assert {"arn", "componentName", "componentVersion", "recipe"} <= set(found)
            assert len(content) <= RESOLVE_LIMIT
        else:
            self.url = answer["preSignedUrl"]
            assert len(self.url) <= URL_LIMIT

    def _download(self, host: str, path: str) -> None:
        host = self._renamed(host)
        request = awsrequest.AWSRequest("GET", f"https://{host}{path}", {"Host": host})
        keys = credentials.Credentials(
            self.keys["accessKeyId"], self.keys["secretAccessKey"], self.keys["sessionToken"]
        )
        auth.S3SigV4Auth(keys, "s3", REGION).add_auth(request)
        content = self._ask("GET", path, dict(request.headers.items()), mutual=False, server=host)
        assert content == b"zip"

    def _ask(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: str | None = None,
        *,
        mutual: bool = True,
        server: str = "localhost",
    ) -> bytes:
        """Return the body of a good answer; `server` is the name that its certificate must have."""
        ca = self.cloud.endpoints.ca_certificate
        context = self.identity.context if mutual else ssl.create_default_context(cafile=ca)
        connection = _Connection(server, self.cloud.endpoints.device_port, context)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        assert response.status == 200, f"{method} {path}: {response.status} {content[:500]!r}"
        return content

    def _renamed(self, value: Any) -> Any:
        text = json.dumps(value)
        for recorded, name in self.names.items():
            text = text.replace(recorded, name)
        return json.loads(text)


class _Connection(http.client.HTTPSConnection):
    """Asks a name that is known nowhere, as a hosts file would let it."""

    def __init__(self, server: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__("127.0.0.1", port, context=context, timeout=PATIENCE)
        self._server, self._tls = server, context

    def connect(self) -> None:
        """Connect to this machine, and check the certificate of the name."""
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._server)


def check_members(recorded: Any, found: Any, where: str) -> None:
    """Fail where a recorded member is missing or of another kind."""
    if isinstance(recorded, dict):
        assert isinstance(found, dict), where
        for name, value in recorded.items():
            if name in SKIPPED:
                continue
            assert name in found, f"{where}/{name} is missing"
            check_members(value, found[name], f"{where}/{name}")
    else:
        assert type(found) is type(recorded), f"{where}: {found!r} for {recorded!r}"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[running_cloud.RunningCloud]:
    """Yield a running cloud in the region of the recording."""
    with running_cloud.running(tmp_path / "cloud", ["--region", REGION]) as found:
        yield found


@pytest.fixture
def edge(cloud: running_cloud.RunningCloud, tmp_path: Path) -> core_devices.Identity:
    """Return the device of the recording, with everything its deployments need in the cloud."""
    iam, iot, s3 = (cloud.client(name) for name in ("iam", "iot", "s3"))
    role = iam.create_role(RoleName="lite", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    iam.put_role_policy(RoleName="lite", PolicyName="read", PolicyDocument=json.dumps(READ))
    iot.create_role_alias(roleAlias=ALIAS, roleArn=role["Arn"])
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="app/appz.zip", Body=b"zip")
    s3.put_object(Bucket=BUCKET, Key="app/plain.txt", Body=b"plain")
    fleet = core_devices.Fleet(cloud, tmp_path, GROUP)
    iot.create_policy(policyName="demo", policyDocument=json.dumps(DEMO))
    iot.attach_policy(policyName="demo", target=core_devices.group_arn(GROUP, REGION))
    uris = [f"s3://{BUCKET}/app/appz.zip", f"s3://{BUCKET}/app/plain.txt"]
    manifest = {
        "Platform": {"os": "linux", "runtime": "*"},
        "Lifecycle": {"run": "sleep 1000"},
        "Artifacts": [{"Uri": uri} for uri in uris],
    }
    for version in VERSIONS:
        fleet.publish(version, Manifests=[manifest])
    (identity,) = fleet.add([THING])
    return identity


async def test_every_answer_that_lite_waited_for_comes(
    cloud: running_cloud.RunningCloud, edge: core_devices.Identity
) -> None:
    """The recorded conversation takes place again, and the cloud knows what came of it."""
    messages = [json.loads(line) for line in TRACE.read_text().splitlines()]
    replay = Replay(cloud, edge)
    await replay.connect()
    try:
        for message in messages:
            await replay.play(message)
    finally:
        await replay.mqtt.close()
    https = sum(message["channel"] == "https" for message in messages)
    told = sum(message["from"] == "cloud" for message in messages)
    assert replay.answered == https + told > 70

    greengrass = cloud.client("greengrassv2")
    last = messages[-1]["payload"]

    def device() -> Any:
        found = greengrass.get_core_device(coreDeviceThingName=THING)
        return found if found["status"] == last["overallDeviceStatus"] else None

    found = running_cloud.wait_for(device, "the last status message is known")
    assert (found["coreVersion"], found["runtime"]) == (last["ggcVersion"], last["runtime"])
    assert (found["platform"], found["architecture"]) == (last["platform"], last["architecture"])
    ended = {
        message["topic"].split("/")[4]: message["payload"]["status"]
        for message in messages
        if message["from"] == "device" and message.get("topic", "").endswith("/update")
    }
    iot = cloud.client("iot")
    shown = {
        job: iot.describe_job_execution(jobId=replay.names[job], thingName=THING)["execution"][
            "status"
        ]
        for job in ended
    }
    assert shown == ended
    assert set(ended.values()) == {"SUCCEEDED", "FAILED"}
    (effective,) = greengrass.list_effective_deployments(coreDeviceThingName=THING)[
        "effectiveDeployments"
    ]
    assert effective["iotJobId"] == replay.names["fix1"]
    assert effective["coreDeviceExecutionStatus"] == "SUCCEEDED"
    installed = greengrass.list_installed_components(
        coreDeviceThingName=THING, topologyFilter="ALL"
    )["installedComponents"]
    assert {each["componentName"] for each in last["components"]} <= {
        each["componentName"] for each in installed
    }
