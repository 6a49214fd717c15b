"""The real cloud, seen from its devices: each gets what is its own, and nothing else."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import ssl
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support import devices, running_cloud
from tests.support.fleet_of_devices import ALIAS, BUCKET, Device, Fleet
from verge.cloud import settings
from verge.cloud.identity import authority

pytestmark = devices.needs_mosquitto

CONTENT_A, CONTENT_B = b"for device a" * 1000, b"for device b" * 1000


@pytest.fixture(scope="module")
def fleet(cloud: running_cloud.RunningCloud, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """A fleet whose devices A and B run components of their own."""
    return Fleet(cloud, tmp_path_factory.mktemp("devices"))


@pytest.fixture(scope="module")
def pair(fleet: Fleet) -> tuple[Device, Device, str, str]:
    """Two devices and the ARNs of what is deployed to them."""
    a, b = fleet.add("device-a"), fleet.add("device-b")
    one = fleet.deploy("device-a", "com.example.A", CONTENT_A)
    two = fleet.deploy("device-b", "com.example.B", CONTENT_B)
    return a, b, one, two


def quoted(text: str) -> str:
    """Return text as one segment of a path."""
    return urllib.parse.quote(text, safe="")


def artifact_path(arn: str, component: str) -> str:
    """Return the path of GetComponentVersionArtifact."""
    name = f"{BUCKET}/{component}/1.0.0/file.bin"
    return f"/greengrass/v2/components/{quoted(arn)}/artifacts/{name}"


def candidates(component: str) -> dict[str, Any]:
    """Return the body of ResolveComponentCandidates as a nucleus sends it."""
    return {
        "platform": {"name": "linux", "attributes": {"os": "linux", "architecture": "amd64"}},
        "componentCandidates": [{"componentName": component, "versionRequirements": {}}],
    }


def test_groups(fleet: Fleet, pair: tuple[Device, ...]) -> None:
    """A device is told its groups with what is above them."""
    iot = fleet.iot
    iot.create_thing_group(thingGroupName="plant")
    iot.create_thing_group(thingGroupName="line", parentGroupName="plant")
    iot.add_thing_to_thing_group(thingGroupName="line", thingName="device-a")
    status, answer = fleet.ask(pair[0], "GET", "/greengrass/v2/coreDevices/device-a/thingGroups")
    assert status == 200
    groups = {each["thingGroupName"]: each for each in answer["thingGroups"]}
    assert set(groups) == {"device-a", "line"}
    assert groups["line"]["thingGroupArn"].endswith(":thinggroup/line")
    (above,) = groups["line"]["rootToParentThingGroups"]
    assert above["thingGroupName"] == "plant"
    assert above["thingGroupArn"].endswith(":thinggroup/plant")


def test_resolve_and_download(fleet: Fleet, pair: tuple[Device, Device, str, str]) -> None:
    """A device resolves its component and reads the artifact, by credentials and by URL."""
    a, _, arn, _ = pair
    status, answer = fleet.ask(
        a, "POST", "/greengrass/v2/resolveComponentCandidates", candidates("com.example.A")
    )
    assert status == 200
    (resolved,) = answer["resolvedComponentVersions"]
    assert resolved["arn"] == arn
    recipe = json.loads(base64.b64decode(resolved["recipe"]))
    (artifact,) = recipe["Manifests"][0]["Artifacts"]
    digest = base64.b64encode(hashlib.sha256(CONTENT_A).digest()).decode()
    assert artifact["Digest"] == digest
    credentials = fleet.credentials(a)
    with contextlib.closing(fleet.storage(credentials)) as s3:
        uri = artifact.get("URI") or artifact["Uri"]
        key = uri.removeprefix(f"s3://{BUCKET}/")
        assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == CONTENT_A
    status, answer = fleet.ask(a, "GET", artifact_path(arn, "com.example.A"))
    assert status == 200
    url = answer["preSignedUrl"]
    assert url.startswith(f"https://127.0.0.1:{fleet.cloud.endpoints.device_port}/")
    assert fleet.ask(None, "GET", "/" + url.split("/", 3)[3]) == (200, CONTENT_A)
    changed = url.replace("com.example.A", "com.example.B")
    assert fleet.ask(None, "GET", "/" + changed.split("/", 3)[3])[0] == 403


def test_s3_by_host_name(fleet: Fleet, pair: tuple[Device, ...]) -> None:
    """S3 answers under the names that AWS's own nuclei use, with a certificate for them."""
    region = fleet.cloud.endpoints.region
    status, answer = fleet.ask(
        None,
        "GET",
        "/com.example.A/1.0.0/file.bin",
        Host=f"{BUCKET}.s3.{region}.amazonaws.com",
    )
    assert (status, b"AccessDenied" in answer) == (403, True)


@pytest.mark.parametrize(
    "request_of",
    [
        pytest.param(
            lambda arn: ("GET", "/greengrass/v2/coreDevices/device-b/thingGroups", None),
            id="groups",
        ),
        pytest.param(
            lambda arn: (
                "POST",
                "/greengrass/v2/resolveComponentCandidates",
                candidates("com.example.B"),
            ),
            id="recipe",
        ),
        pytest.param(lambda arn: ("GET", artifact_path(arn, "com.example.B"), None), id="artifact"),
        pytest.param(
            lambda arn: (
                "GET",
                "/greengrass/v2/coreDevices/device-b/deployments/1/configuration",
                None,
            ),
            id="document",
        ),
    ],
)
def test_requests_for_another(
    fleet: Fleet, pair: tuple[Device, Device, str, str], request_of: Callable[[str], Any]
) -> None:
    """Device A gets nothing of B, whatever it asks the data plane for."""
    method, path, body = request_of(pair[3])
    status, answer = fleet.ask(pair[0], method, path, body)
    assert (status, answer["__type"]) == (403, "AccessDeniedException")


def test_objects_of_another(fleet: Fleet, pair: tuple[Device, ...]) -> None:
    """Device A's credentials do not read B's artifacts, though the role's policy would."""
    with contextlib.closing(fleet.storage(fleet.credentials(pair[0]))) as s3:
        with pytest.raises(exceptions.ClientError, match="AccessDenied"):
            s3.get_object(Bucket=BUCKET, Key="com.example.B/1.0.0/file.bin")
        with pytest.raises(exceptions.ClientError, match="AccessDenied"):
            s3.put_object(Bucket=BUCKET, Key="com.example.A/1.0.0/file.bin", Body=b"x")


def test_name_of_another(fleet: Fleet, pair: tuple[Device, ...]) -> None:
    """Device A does not get credentials in B's name, nor for an alias that does not exist."""
    path = f"/role-aliases/{ALIAS}/credentials"
    assert fleet.ask(pair[0], "GET", path, **{"x-amzn-iot-thingname": "device-b"})[0] == 403
    assert fleet.ask(pair[0], "GET", path, **{"x-amzn-iot-thingname": "device-a"})[0] == 200
    assert fleet.ask(pair[0], "GET", "/role-aliases/None/credentials")[0] == 404


def test_jobs_of_another(fleet: Fleet, pair: tuple[Device, ...]) -> None:
    """Device A sees its own job document, and neither B's session, topics nor jobs."""
    a = pair[0]
    jobs = "jobs/$next/namespace-aws-gg-deployment/get"
    with fleet.mqtt(a) as client:
        assert client.connect()[0] == 0
        assert client.subscribe("$aws/things/device-b/jobs/#", "$aws/things/+/jobs/#", "#") == [
            0x87,
            0x87,
            0x87,
        ]
        assert client.publish(f"$aws/things/device-b/{jobs}", b"{}") == 0x87
        assert client.subscribe("$aws/things/device-a/jobs/#") == [1]
        assert client.publish(f"$aws/things/device-a/{jobs}", b"{}") == 0
        answer = devices.until(lambda: _accepted(client), "an answer")
        assert "com.example.A" in json.dumps(answer)
        assert "com.example.B" not in json.dumps(answer)
    with fleet.mqtt(a, client_id="device-b") as client:
        assert client.connect()[0] == 0x85


def _accepted(client: devices.Client) -> Any:
    topic, payload = client.receive()
    return json.loads(payload) if topic.endswith("/get/accepted") else None


@pytest.mark.parametrize("whose", ["none", "foreign", "registered", "unattached"])
def test_strangers(fleet: Fleet, tmp_path: Path, whose: str) -> None:
    """Without a certificate of a device there is neither MQTT, data, credentials nor objects."""
    identity = stranger(fleet, tmp_path, whose)
    for path in (
        "/greengrass/v2/coreDevices/device-a/thingGroups",
        f"/role-aliases/{ALIAS}/credentials",
        f"/{BUCKET}/com.example.A/1.0.0/file.bin",
    ):
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            assert fleet.ask(identity, "GET", path)[0] == 403
    context = ssl.create_default_context(cafile=str(fleet.ca))
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    client = devices.Client(context, fleet.cloud.endpoints.mqtt_port, "device-a")
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        client.paho.connect("127.0.0.1", fleet.cloud.endpoints.mqtt_port)
        client.paho.loop_start()
        client.wait_cut()
    assert client.connections.empty()
    client.close()


def stranger(fleet: Fleet, directory: Path, whose: str) -> devices.Identity | None:
    """Return a certificate that stands for no device here."""
    if whose == "none":
        return None
    if whose == "unattached":
        key = ec.generate_private_key(ec.SECP256R1())
        made = fleet.iot.create_certificate_from_csr(
            certificateSigningRequest=devices.request(key), setAsActive=True
        )
        return devices.store(directory, whose, made["certificatePem"], key)
    foreign = authority.Authority(settings=settings.Settings(state=directory))
    identity = devices.make_identity(foreign, directory, whose)
    if whose == "registered":
        made = fleet.iot.register_certificate_without_ca(
            certificatePem=identity.certificate.read_text(), status="ACTIVE"
        )
        name = f"stranger-{directory.name}"
        fleet.iot.create_thing(thingName=name)
        fleet.iot.attach_thing_principal(thingName=name, principal=made["certificateArn"])
    return identity


def _status(status: str) -> Callable[[Fleet, Device], None]:
    return lambda fleet, device: fleet.iot.update_certificate(
        certificateId=device.certificate_id, newStatus=status
    )


def _detach_thing(fleet: Fleet, device: Device) -> None:
    fleet.iot.detach_thing_principal(thingName=device.name, principal=device.arn)


def _detach_policy(fleet: Fleet, device: Device) -> None:
    fleet.iot.detach_policy(policyName="own", target=device.arn)


def _delete(fleet: Fleet, device: Device) -> None:
    _detach_policy(fleet, device)
    _detach_thing(fleet, device)
    fleet.iot.update_certificate(certificateId=device.certificate_id, newStatus="INACTIVE")
    fleet.iot.delete_certificate(certificateId=device.certificate_id, forceDelete=True)


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        ("revoked", _status("REVOKED")),
        ("inactive", _status("INACTIVE")),
        ("detached", _detach_thing),
        ("without-policy", _detach_policy),
        ("deleted", _delete),
    ],
)
def test_cut_off(fleet: Fleet, name: str, cut: Callable[[Fleet, Device], None]) -> None:
    """A device that is cut off loses MQTT, data, credentials and objects at once."""
    device = fleet.add(name)
    fleet.deploy(name, f"com.example.{name}", b"content")
    key = f"com.example.{name}/1.0.0/file.bin"
    credentials = fleet.credentials(device)
    with contextlib.closing(fleet.storage(credentials)) as s3, fleet.mqtt(device) as client:
        assert client.connect()[0] == 0
        assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"content"
        cut(fleet, device)
        client.wait_cut()
        with pytest.raises(exceptions.ClientError, match="ExpiredToken"):
            s3.get_object(Bucket=BUCKET, Key=key)
    for path in (
        f"/greengrass/v2/coreDevices/{name}/thingGroups",
        f"/role-aliases/{ALIAS}/credentials",
    ):
        assert fleet.ask(device, "GET", path)[0] == 403
    with fleet.mqtt(device) as client:
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            client.paho.connect("127.0.0.1", fleet.cloud.endpoints.mqtt_port)
            client.paho.loop_start()
            client.wait_cut()
        assert client.connections.empty() or client.connections.get()[0] == 0x87


def test_inactive_for_a_while(fleet: Fleet) -> None:
    """A certificate that is active again serves again."""
    device = fleet.add("dormant")
    path = "/greengrass/v2/coreDevices/dormant/thingGroups"
    for status, code in (("INACTIVE", 403), ("ACTIVE", 200)):
        _status(status)(fleet, device)
        assert fleet.ask(device, "GET", path)[0] == code


def test_keys_made_by_the_cloud(fleet: Fleet, tmp_path: Path) -> None:
    """A key pair from CreateKeysAndCertificate connects as well as one made on the device."""
    made = fleet.iot.create_keys_and_certificate(setAsActive=True)
    fleet.iot.create_thing(thingName="provided")
    fleet.iot.attach_thing_principal(thingName="provided", principal=made["certificateArn"])
    fleet.iot.attach_policy(policyName="own", target=made["certificateArn"])
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_text(made["certificatePem"])
    key.write_text(made["keyPair"]["PrivateKey"])
    identity = devices.Identity(certificate, key, b"")
    with fleet.mqtt(Device("provided", identity, made["certificateArn"])) as client:
        assert client.connect()[0] == 0
        assert client.publish("verge/provided/a", b"hello") == 0


def test_endpoints(fleet: Fleet) -> None:
    """The API says where devices find the cloud."""
    data = fleet.iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    assert data == fleet.cloud.endpoints.device_addresses[0]
    credentials = fleet.iot.describe_endpoint(endpointType="iot:CredentialProvider")
    assert credentials["endpointAddress"] == f"{data}:{fleet.cloud.endpoints.device_port}"


@pytest.fixture
def own_cloud(tmp_path: Path) -> Iterator[running_cloud.RunningCloud]:
    """A cloud that a test may kill."""
    with running_cloud.running(tmp_path / "state") as running:
        yield running


def test_devices_survive_the_cloud(own_cloud: running_cloud.RunningCloud, tmp_path: Path) -> None:
    """After SIGKILL of the cloud a device is back with its session, and its credentials hold."""
    fleet = Fleet(own_cloud, tmp_path)
    device = fleet.add("survivor")
    fleet.deploy("survivor", "com.example.Survivor", b"content")
    credentials = fleet.credentials(device)
    with fleet.mqtt(device, clean=False) as client:
        client.connect()
        assert client.subscribe("verge/survivor/#") == [1]
        assert client.publish("verge/survivor/a", b"before") == 0
        assert client.receive()[1] == b"before"
        own_cloud.kill()
        own_cloud.start()
        assert client.connections.get(timeout=devices.PATIENCE) == (0, True)
        assert client.publish("verge/survivor/a", b"after") == 0
        received = devices.until(lambda: client.receive()[1] == b"after", "the message")
        assert received
    with contextlib.closing(fleet.storage(credentials)) as s3:
        answer = s3.get_object(Bucket=BUCKET, Key="com.example.Survivor/1.0.0/file.bin")
        assert answer["Body"].read() == b"content"
