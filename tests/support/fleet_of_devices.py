"""Devices that exist in a running local cloud, made with unmodified boto3 as a role makes them."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from pathlib import Path
from typing import Any, NamedTuple

import boto3
from botocore import config as botocore_config
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support import devices, running_cloud

ALIAS = "DeviceRole"
BUCKET = "artifacts"
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


class Device(NamedTuple):
    """A thing with its certificate; `arn` is the certificate's."""

    name: str
    identity: devices.Identity
    arn: str

    @property
    def certificate_id(self) -> str:
        """The id of its certificate."""
        return self.arn.rpartition("/")[2]


class Fleet:
    """Devices and components; every device is in a group of its own name."""

    def __init__(self, cloud: running_cloud.RunningCloud, directory: Path) -> None:
        self.cloud = cloud
        self.iot = cloud.client("iot")
        self.s3 = cloud.client("s3")
        self.greengrass = cloud.client("greengrassv2")
        self._directory = directory
        self._prepare()

    @property
    def ca(self) -> Path:
        """What devices trust."""
        return Path(self.cloud.endpoints.ca_certificate)

    def _prepare(self) -> None:
        region = self.cloud.endpoints.region
        self.s3.create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": region}
        )
        iam = self.cloud.client("iam")
        role = iam.create_role(RoleName=ALIAS, AssumeRolePolicyDocument=json.dumps(TRUST))
        reading = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": "s3:GetObject",
                    "Resource": f"arn:aws:s3:::{BUCKET}/*",
                }
            ],
        }
        iam.put_role_policy(RoleName=ALIAS, PolicyName="read", PolicyDocument=json.dumps(reading))
        self.iot.create_role_alias(roleAlias=ALIAS, roleArn=role["Role"]["Arn"])
        self.iot.create_policy(policyName="own", policyDocument=json.dumps(devices.OWN_TOPICS))

    def add(self, name: str) -> Device:
        """Make a thing with an active certificate, the policy and a group."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self.iot.create_certificate_from_csr(
            certificateSigningRequest=devices.request(key), setAsActive=True
        )
        arn = made["certificateArn"]
        self.iot.create_thing(thingName=name)
        self.iot.attach_thing_principal(thingName=name, principal=arn)
        self.iot.attach_policy(policyName="own", target=arn)
        self.iot.create_thing_group(thingGroupName=name)
        self.iot.add_thing_to_thing_group(thingGroupName=name, thingName=name)
        identity = devices.store(self._directory, name, made["certificatePem"], key)
        return Device(name, identity, arn)

    def deploy(self, group: str, component: str, content: bytes, **document: Any) -> str:
        """Make a component with one artifact and deploy it to a group; return its version's ARN."""
        key = f"{component}/1.0.0/file.bin"
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=content)
        recipe = {
            "RecipeFormatVersion": "2020-01-25",
            "ComponentName": component,
            "ComponentVersion": "1.0.0",
            "Manifests": [
                {
                    "Platform": {"os": "linux"},
                    "Lifecycle": {"run": "true"},
                    "Artifacts": [{"URI": f"s3://{BUCKET}/{key}"}],
                }
            ],
        }
        made = self.greengrass.create_component_version(inlineRecipe=json.dumps(recipe))
        devices.until(
            lambda: (
                self.greengrass.describe_component(arn=made["arn"])["status"]["componentState"]
                == "DEPLOYABLE"
            ),
            f"{component} deployable",
        )
        endpoints = self.cloud.endpoints
        self.greengrass.create_deployment(
            targetArn=f"arn:aws:iot:{endpoints.region}:{endpoints.account}:thinggroup/{group}",
            components={component: {"componentVersion": "1.0.0", **document}},
        )
        return str(made["arn"])

    def mqtt(self, device: Device, **options: Any) -> devices.Client:
        """Return an MQTT client that has not connected yet."""
        context = device.identity.context(self.ca)
        return devices.Client(
            context,
            self.cloud.endpoints.mqtt_port,
            options.pop("client_id", device.name),
            **options,
        )

    def ask(
        self,
        device: Device | devices.Identity | None,
        method: str,
        path: str,
        body: Any = None,
        **headers: str,
    ) -> tuple[int, Any]:
        """Send a request to the devices' port; return status and JSON. Raises OSError."""
        identity = device.identity if isinstance(device, Device) else device
        context = ssl.create_default_context(cafile=str(self.ca))
        if identity is not None:
            context.load_cert_chain(identity.certificate, identity.key)
        with contextlib.closing(
            http.client.HTTPSConnection(
                "127.0.0.1", self.cloud.endpoints.device_port, context=context, timeout=10
            )
        ) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
        try:
            return answer.status, json.loads(content)
        except ValueError:
            return answer.status, content

    def credentials(self, device: Device) -> dict[str, str]:
        """Return credentials of the device's role."""
        status, answer = self.ask(device, "GET", f"/role-aliases/{ALIAS}/credentials")
        assert status == 200, answer
        return dict(answer["credentials"])

    def storage(self, credentials: dict[str, str]) -> Any:
        """Return an unmodified S3 client as a device uses it."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=f"https://127.0.0.1:{self.cloud.endpoints.device_port}",
            region_name=self.cloud.endpoints.region,
            verify=str(self.ca),
            aws_access_key_id=credentials["accessKeyId"],
            aws_secret_access_key=credentials["secretAccessKey"],
            aws_session_token=credentials["sessionToken"],
            config=botocore_config.Config(retries={"total_max_attempts": 1}),
        )
