"""The real local cloud with artifacts, groups and core devices, for tests of the nucleus's link."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from tests.support import broken_network, devices, nucleus, recipes, running_cloud

BUCKET = "press-artifacts"
ALIAS = "PressRoleAlias"
REGION = "eu-west-1"
ACCOUNT = "123456789012"
PATIENCE = 40.0

_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "credentials.iot.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
_READ = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    ],
}


class Site:
    """A running cloud with a bucket, a role alias and a policy for devices."""

    def __init__(self, cloud: running_cloud.RunningCloud, directory: Path) -> None:
        self.cloud = cloud
        self.directory = directory
        self.iot = cloud.client("iot")
        self.s3 = cloud.client("s3")
        self.greengrass = cloud.client("greengrassv2")
        self._prepare()

    def _prepare(self) -> None:
        place = {"LocationConstraint": REGION}
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)
        iam = self.cloud.client("iam")
        role = iam.create_role(RoleName="Press", AssumeRolePolicyDocument=json.dumps(_TRUST))
        iam.put_role_policy(RoleName="Press", PolicyName="read", PolicyDocument=json.dumps(_READ))
        self.iot.create_role_alias(roleAlias=ALIAS, roleArn=role["Role"]["Arn"])
        self.iot.create_policy(policyName="presses", policyDocument=json.dumps(devices.OWN_TOPICS))

    # What a fleet does

    def group(self, name: str, *things: str) -> str:
        """Make a thing group with members; return its ARN."""
        arn: str = self.iot.create_thing_group(thingGroupName=name)["thingGroupArn"]
        for thing in things:
            self.iot.add_thing_to_thing_group(thingGroupName=name, thingName=thing)
        return arn

    def thing(self, name: str) -> devices.Identity:
        """Make a thing with a certificate; return its files."""
        self.iot.create_thing(thingName=name)
        key = ec.generate_private_key(ec.SECP256R1())
        made = self.iot.create_certificate_from_csr(
            certificateSigningRequest=devices.request(key, name), setAsActive=True
        )
        self.iot.attach_policy(policyName="presses", target=made["certificateArn"])
        self.iot.attach_thing_principal(thingName=name, principal=made["certificateArn"])
        return devices.store(self.directory, name, made["certificatePem"], key)

    def publish(self, component: recipes.Component) -> str:
        """Upload the artifacts, create the version, wait until it is deployable; return its ARN."""
        for name, content in component.artifacts.items():
            key = f"{component.name}/{component.version}/{name}"
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=content)
        recipe = json.dumps(component.document()).replace("BUCKET_NAME", BUCKET)
        arn: str = self.greengrass.create_component_version(inlineRecipe=recipe)["arn"]

        def deployable() -> bool:
            status = self.greengrass.describe_component(arn=arn)["status"]
            assert status["componentState"] != "FAILED", status
            return bool(status["componentState"] == "DEPLOYABLE")

        running_cloud.wait_for(deployable, f"{component.name} is deployable")
        return arn

    def deploy(self, target: str, components: Mapping[str, Any], **members: Any) -> str:
        """Deploy to an ARN, or to a group by its name; return the id of the deployment.

        A component is given by its version or as CreateDeployment has it.
        """
        if not target.startswith("arn:"):
            target = f"arn:aws:iot:{REGION}:{ACCOUNT}:thinggroup/{target}"
        wanted = {
            name: {"componentVersion": given} if isinstance(given, str) else given
            for name, given in components.items()
        }
        policies = {"componentUpdatePolicy": {"action": "SKIP_NOTIFY_COMPONENTS"}}
        made = self.greengrass.create_deployment(
            targetArn=target, components=wanted, **{"deploymentPolicies": policies, **members}
        )
        identity: str = made["deploymentId"]
        return identity

    def effective(self, thing: str, deployment: str) -> dict[str, Any]:
        """Return what the cloud knows of a deployment on a device."""
        answer = self.greengrass.list_effective_deployments(coreDeviceThingName=thing)
        found = [d for d in answer["effectiveDeployments"] if d["deploymentId"] == deployment]
        return found[0] if found else {}

    def installed(self, thing: str) -> dict[str, dict[str, Any]]:
        """Return what the cloud knows of a device's components."""
        answer = self.greengrass.list_installed_components(
            coreDeviceThingName=thing, topologyFilter="ALL"
        )
        return {one["componentName"]: one for one in answer["installedComponents"]}


class Device:
    """A nucleus with a cloud, and the network between the two."""

    def __init__(
        self,
        site: Site,
        process: nucleus.NucleusProcess,
        thing: str,
        mqtt: broken_network.Stretch,
        https: broken_network.Stretch,
    ) -> None:
        self.site = site
        self.nucleus = process
        self.thing = thing
        self.mqtt = mqtt
        self.https = https

    def cut(self) -> None:
        """Take the network away."""
        self.mqtt.cut()
        self.https.cut()

    def mend(self) -> None:
        """Give it back."""
        self.mqtt.mend()
        self.https.mend()

    async def ended(self, deployment: str, patience: float = PATIENCE) -> dict[str, Any]:
        """Wait until the cloud knows the end of a deployment on this device."""
        found: dict[str, Any] = {}

        def over() -> bool:
            found.update(self.site.effective(self.thing, deployment))
            return found.get("coreDeviceExecutionStatus") not in {None, "QUEUED", "IN_PROGRESS"}

        await self.until(over, f"the end of {deployment}", patience)
        return found

    async def until(
        self, reached: Callable[[], Any], what: str, patience: float = PATIENCE
    ) -> None:
        """Wait for a condition that asks the cloud."""
        end = time.monotonic() + patience
        while not await asyncio.to_thread(_answers, reached):
            assert time.monotonic() < end, f"never: {what}\n{self.nucleus.log()[-6000:]}"
            await asyncio.sleep(0.05)

    async def linked(self, times: int = 1) -> None:
        """Wait until the link has come up so many times."""
        await self.nucleus.until(lambda: self.links() >= times, f"link number {times}")

    def links(self) -> int:
        """Return how often the link has come up."""
        return self.nucleus.log().count("Link is up")


def _answers(reached: Callable[[], Any]) -> Any:
    """Return what a condition says; a cloud that is down for the moment says no."""
    try:
        return reached()
    except AssertionError:
        raise
    except Exception as error:
        if type(error).__name__ in {"EndpointConnectionError", "ConnectionClosedError"}:
            return False
        if "ResourceNotFound" in str(error):
            return False
        raise


@contextlib.contextmanager
def running_site(directory: Path) -> Iterator[Site]:
    """Run a cloud with everything that devices need."""
    with running_cloud.running(directory / "cloud") as cloud:
        yield Site(cloud, directory)


def configuration(
    site: Site, mqtt: broken_network.Stretch, https: broken_network.Stretch
) -> dict[str, Any]:
    """Return the nucleus's part of config.yaml."""
    return {
        "awsRegion": REGION,
        "iotDataEndpoint": "127.0.0.1",
        "iotCredEndpoint": f"127.0.0.1:{https.port}",
        "iotRoleAlias": ALIAS,
        "greengrassDataPlanePort": https.port,
        "mqtt": {"port": mqtt.port},
    }


def _short_directory() -> Path:
    """Return a directory below which a Unix socket's path stays short enough."""
    directory = Path(tempfile.mkdtemp(prefix="vc"))
    directory.chmod(0o755)
    return directory


@contextlib.asynccontextmanager
async def device(
    site: Site, thing: str, *, start: bool = True, more: Mapping[str, Any] | None = None
) -> AsyncIterator[Device]:
    """Run a nucleus as a thing of the site; `more` is added to its configuration."""
    endpoints = site.cloud.endpoints
    directory = _short_directory()
    async with (
        broken_network.stretch(endpoints.mqtt_port) as mqtt,
        broken_network.stretch(endpoints.device_port) as https,
    ):
        identity = await asyncio.to_thread(site.thing, thing)
        process = nucleus.NucleusProcess(
            directory,
            {**configuration(site, mqtt, https), **(more or {})},
            system={
                "thingName": thing,
                "certificateFilePath": str(identity.certificate),
                "privateKeyPath": str(identity.key),
                "rootCaPath": endpoints.ca_certificate,
            },
        )
        process.environment["AWS_ENDPOINT_URL_S3"] = f"https://127.0.0.1:{https.port}"
        try:
            if start:
                await process.start()
            yield Device(site, process, thing, mqtt, https)
        finally:
            await process.clean_up()
            shutil.rmtree(directory, ignore_errors=True)
