"""Core devices at the level of their protocol, in the cloud of `running_cloud`.

They connect with certificates of their own, ask for jobs, ask the data plane, report and remember,
as a nucleus does (contract 5.7 to 5.9); what they deploy is a pause.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import ssl
import time
from collections.abc import Iterable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support import devices, mqtt_client, running_cloud

COMPONENT = "com.example.App"
NAMESPACE = "namespace-aws-gg-deployment"
KEYS = 8
"""Keys are shared by many things to save time; each has a certificate of its own."""
FINAL = frozenset({"SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT", "CANCELED", "REMOVED"})


def group_arn(group: str, region: str = "eu-west-1") -> str:
    """Return the ARN of a thing group of the running cloud."""
    return f"arn:aws:iot:{region}:123456789012:thinggroup/{group}"


def thing_arn(thing: str, region: str = "eu-west-1") -> str:
    """Return the ARN of a thing of the running cloud."""
    return f"arn:aws:iot:{region}:123456789012:thing/{thing}"


class Identity(NamedTuple):
    """Who a device is."""

    thing: str
    context: ssl.SSLContext


class Fleet:
    """Things of one group with certificates, made through the cloud's API."""

    def __init__(
        self,
        cloud: running_cloud.RunningCloud,
        directory: Path,
        group: str,
        *,
        parent: str | None = None,
    ) -> None:
        self.cloud = cloud
        self.group = group
        self._region = cloud.endpoints.region
        self._arn = group_arn(group, self._region)
        self._directory = directory
        self._iot = cloud.client("iot")
        self._greengrass = cloud.client("greengrassv2")
        self._keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(KEYS)]
        above = {} if parent is None else {"parentGroupName": parent}
        self._iot.create_thing_group(thingGroupName=group, **above)
        self._iot.create_policy(
            policyName=f"{group}-devices", policyDocument=json.dumps(devices.OWN_TOPICS)
        )
        self._iot.attach_policy(policyName=f"{group}-devices", target=self._arn)

    def add(self, names: Iterable[str], *, threads: int = 4) -> list[Identity]:
        """Make things with certificates and put them into the group."""
        with futures.ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self._add, names))

    def publish(self, version: str = "1.0.0", **members: Any) -> None:
        """Create a version of the component and wait until it can be deployed."""
        recipe = {
            "RecipeFormatVersion": "2020-01-25",
            "ComponentName": COMPONENT,
            "ComponentVersion": version,
            "Manifests": [
                {"Platform": {"os": "linux", "runtime": "*"}, "Lifecycle": {"run": "sleep 1000"}}
            ],
            **members,
        }
        arn = self._greengrass.create_component_version(inlineRecipe=json.dumps(recipe))["arn"]
        running_cloud.wait_for(
            lambda: self._state(arn) == "DEPLOYABLE", f"{COMPONENT} {version} is deployable"
        )

    def deploy(
        self,
        version: str = "1.0.0",
        *,
        update: dict[str, Any] | None = None,
        thing: str | None = None,
        **members: Any,
    ) -> dict[str, Any]:
        """Create a deployment for the group or one thing; return the answer.

        `update` is its `configurationUpdate`.
        """
        component: dict[str, Any] = {"componentVersion": version}
        if update is not None:
            component["configurationUpdate"] = update
        answer: dict[str, Any] = self._greengrass.create_deployment(
            targetArn=self._arn if thing is None else thing_arn(thing, self._region),
            components={COMPONENT: component},
            **members,
        )
        return answer

    def statuses(self, job_id: str) -> dict[str, str]:
        """Return thing → status of its execution."""
        pages = self._iot.get_paginator("list_job_executions_for_job").paginate(jobId=job_id)
        return {
            each["thingArn"].rpartition("/")[2]: each["jobExecutionSummary"]["status"]
            for page in pages
            for each in page["executionSummaries"]
        }

    def core_devices(self) -> dict[str, str]:
        """Return the core devices that have reported, with their status."""
        pages = self._greengrass.get_paginator("list_core_devices").paginate(
            thingGroupArn=self._arn, PaginationConfig={"PageSize": 100}
        )
        return {
            each["coreDeviceThingName"]: each["status"]
            for page in pages
            for each in page["coreDevices"]
        }

    def _state(self, arn: str) -> str:
        status: str = self._greengrass.describe_component(arn=arn)["status"]["componentState"]
        assert status != "FAILED", arn
        return status

    def _add(self, name: str) -> Identity:
        self._iot.create_thing(thingName=name)
        key = self._keys[hash(name) % KEYS]
        made = self._iot.create_certificate_from_csr(
            certificateSigningRequest=devices.request(key, name), setAsActive=True
        )
        self._iot.attach_thing_principal(thingName=name, principal=made["certificateArn"])
        self._iot.add_thing_to_thing_group(thingGroupName=self.group, thingName=name)
        ca = Path(self.cloud.endpoints.ca_certificate)
        return Identity(name, self._context(ca, made["certificatePem"], key))

    def _context(self, ca: Path, pem: str, key: ec.EllipticCurvePrivateKey) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(ca))
        number = self._keys.index(key)
        file = self._directory / f"identity-{number}-{time.monotonic_ns()}.pem"
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        file.write_bytes(pem.encode() + secret)
        context.load_cert_chain(file)
        file.unlink()
        return context


class CoreDevice:
    """A device whose memory survives `cut`; it deploys each job once and reports until heard.

    `deployed` are the ids of the jobs in the order in which their deployment was completed, which
    must be once each whatever was killed meanwhile.
    """

    def __init__(
        self,
        cloud: running_cloud.RunningCloud,
        identity: Identity,
        *,
        seconds: float = 0.0,
        data_plane: bool = True,
        outcome: str = "SUCCEEDED",
    ) -> None:
        self.thing = identity.thing
        self.deployed: list[str] = []
        self._cloud = cloud
        self._context = identity.context
        self._seconds = seconds
        self._data_plane = data_plane
        self._outcome = outcome
        self._host = cloud.endpoints.device_addresses[0]
        self._mqtt_port = cloud.endpoints.mqtt_port
        self._device_port = cloud.endpoints.device_port
        self._sequence = 0
        self._task: asyncio.Task[None] | None = None
        self._executions: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._answers: dict[str, asyncio.Future[Any]] = {}
        self._mqtt: mqtt_client.Mqtt | None = None
        self._document: dict[str, Any] = {}
        self.connected = asyncio.Event()
        self.errors: list[str] = []

    def start(self) -> None:
        """Be on."""
        self._task = asyncio.create_task(self._run(), name=self.thing)

    async def cut(self) -> None:
        """Lose power: everything but the memory is gone."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def report_again(self) -> None:
        """Tell the cloud once more what the last deployment brought."""
        assert self._mqtt is not None, "never connected"
        await self._tell_status(self._mqtt, self._document)

    async def _run(self) -> None:
        pause = 0.05
        while True:
            self.connected.clear()
            self._executions = asyncio.Queue()
            mqtt = self._mqtt = mqtt_client.Mqtt(self._received)
            try:
                await mqtt.connect(self._host, self._mqtt_port, self._context, self.thing)
                try:
                    await self._serve(mqtt)
                finally:
                    await mqtt.close()
            except (OSError, asyncio.IncompleteReadError, http.client.HTTPException) as error:
                self.errors.append(str(error))
            await asyncio.sleep(pause)

    async def _serve(self, mqtt: mqtt_client.Mqtt) -> None:
        jobs = f"$aws/things/{self.thing}/jobs"
        await mqtt.subscribe(
            f"{jobs}/notify-next-{NAMESPACE}",
            f"{jobs}/$next/{NAMESPACE}/get/accepted",
            f"{jobs}/+/{NAMESPACE}/update/accepted",
            f"{jobs}/+/{NAMESPACE}/update/rejected",
        )
        self.connected.set()
        await mqtt.publish(f"{jobs}/$next/{NAMESPACE}/get", {"clientToken": "next"})
        while True:
            await self._take(mqtt, await mqtt.unless_lost(self._executions.get()))

    def _received(self, topic: str, payload: Any) -> None:
        if topic.endswith(("/update/accepted", "/update/rejected")):
            future = self._answers.get(payload.get("clientToken", ""))
            if future is not None and not future.done():
                future.set_result((topic.rpartition("/")[2], payload))
        elif payload.get("execution"):
            self._executions.put_nowait(payload["execution"])

    async def _take(self, mqtt: mqtt_client.Mqtt, execution: dict[str, Any]) -> None:
        job_id = execution["jobId"]
        if job_id not in self.deployed:
            if not await self._report(mqtt, job_id, "IN_PROGRESS"):
                return
            await self._deploy(execution["jobDocument"])
            self.deployed.append(job_id)
        await self._tell_status(mqtt, execution["jobDocument"])
        await self._report(mqtt, job_id, self._outcome)

    async def _report(self, mqtt: mqtt_client.Mqtt, job_id: str, status: str) -> bool:
        """Report until there is an answer; return whether the report was accepted."""
        token = f"{self.thing}-{status}"
        future = self._answers[token] = asyncio.get_running_loop().create_future()
        await mqtt.publish(
            f"$aws/things/{self.thing}/jobs/{job_id}/{NAMESPACE}/update",
            {"status": status, "clientToken": token},
        )
        kind, payload = await mqtt.unless_lost(future)
        if kind == "rejected":
            self.errors.append(f"{job_id} {status}: {payload}")
        return bool(kind == "accepted")

    async def _deploy(self, document: dict[str, Any]) -> None:
        if self._data_plane:
            await asyncio.to_thread(self._resolve, document)
        await asyncio.sleep(self._seconds)

    def _resolve(self, document: dict[str, Any]) -> None:
        with data_plane(self._host, self._device_port, self._context) as plane:
            groups = plane.ask("GET", f"/greengrass/v2/coreDevices/{self.thing}/thingGroups")
            assert groups["thingGroups"]
            for name, wanted in document["components"].items():
                found = plane.ask(
                    "POST",
                    "/greengrass/v2/resolveComponentCandidates",
                    {
                        "platform": {
                            "name": "linux",
                            "attributes": {"os": "linux", "runtime": "aws_nucleus_lite"},
                        },
                        "componentCandidates": [
                            {
                                "componentName": name,
                                "versionRequirements": {"requirements": wanted["version"]},
                            }
                        ],
                    },
                )["resolvedComponentVersions"][0]
                recipe = json.loads(base64.b64decode(found["recipe"]))
                assert recipe["ComponentVersion"] == wanted["version"]

    async def _tell_status(self, mqtt: mqtt_client.Mqtt, document: dict[str, Any]) -> None:
        self._sequence += 1
        self._document = document
        arn = document["configurationArn"]
        good = self._outcome == "SUCCEEDED"
        await mqtt.publish(
            f"$aws/things/{self.thing}/greengrassv2/health/json",
            {
                "ggcVersion": "2.12.0",
                "platform": "linux",
                "architecture": "amd64",
                "runtime": "aws_nucleus_classic",
                "thing": self.thing,
                "overallDeviceStatus": "HEALTHY" if good else "UNHEALTHY",
                "sequenceNumber": self._sequence,
                "timestamp": int(time.time() * 1000),
                "messageType": "PARTIAL",
                "trigger": "THING_GROUP_DEPLOYMENT",
                "components": [
                    {
                        "componentName": name,
                        "version": wanted["version"],
                        "fleetConfigArns": [arn],
                        "isRoot": True,
                        "status": "RUNNING" if good else "BROKEN",
                    }
                    for name, wanted in document["components"].items()
                ],
                "deploymentInformation": {
                    "status": self._outcome,
                    "fleetConfigurationArnForStatus": arn,
                    "deploymentId": document["deploymentId"],
                    "statusDetails": {
                        "detailedStatus": "SUCCESSFUL" if good else "FAILED_ROLLBACK_NOT_REQUESTED"
                    },
                    "unchangedRootComponents": [],
                },
            },
        )


class Plane:
    """A connection of a device to its data plane and the credentials provider."""

    def __init__(self, connection: http.client.HTTPSConnection) -> None:
        self._connection = connection

    def ask(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        """Return the document of an answer with the status that is expected."""
        content = None if body is None else json.dumps(body)
        self._connection.request(
            method, path, content, {"Content-type": "application/json", "Accept": "*/*"}
        )
        response = self._connection.getresponse()
        answer = response.read()
        if response.status != status:
            raise ConnectionError(f"{method} {path}: {response.status} {answer[:300]!r}")
        return json.loads(answer)


@contextlib.contextmanager
def data_plane(host: str, port: int, context: ssl.SSLContext) -> Iterator[Plane]:
    """Connect with a device's certificate."""
    connection = http.client.HTTPSConnection(
        host, port, context=context, timeout=mqtt_client.PATIENCE
    )
    try:
        yield Plane(connection)
    finally:
        connection.close()


async def all_connected(fleet: Iterable[CoreDevice]) -> None:
    """Wait until every device has subscribed."""
    await asyncio.gather(*(each.connected.wait() for each in fleet))
