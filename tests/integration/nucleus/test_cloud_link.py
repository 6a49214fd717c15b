"""The link of a real nucleus to the real local cloud: messages, credentials, cuts and impostors."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support import certificates, cloud_site, devices, recipes
from tests.support import nucleus as nuclei

PRESS = "com.example.Press"
IDLE = "exec sleep 1000"
SDK_CLIENT = "aws.greengrass.TokenExchangeService"

pytestmark = devices.needs_mosquitto

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloud_site.Site]:
    """Return a cloud that all tests of this module share."""
    with cloud_site.running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture
def thing() -> str:
    """Return the name of a thing that no other test uses."""
    return f"link-{next(_numbers):02}"


@pytest.fixture
async def device(site: cloud_site.Site, thing: str) -> AsyncIterator[cloud_site.Device]:
    """Return a device of this test's own, whose link is up."""
    async with cloud_site.device(site, thing) as running:
        await running.linked()
        yield running


class Listener:
    """Another device of the same thing's policy, which hears what the nucleus publishes."""

    def __init__(self, site: cloud_site.Site, thing: str) -> None:
        self._files = devices.Identity(
            site.directory / f"{thing}.pem", site.directory / f"{thing}.key", b""
        )
        endpoints = site.cloud.endpoints
        self.client = devices.Client(
            self._files.context(Path(endpoints.ca_certificate)),
            endpoints.mqtt_port,
            f"{thing}#listener",
        )

    def __enter__(self) -> devices.Client:
        self.client.connect()
        return self.client

    def __exit__(self, *_: object) -> None:
        self.client.close()


async def publish(device: cloud_site.Device, topic: str, text: str) -> None:
    """Publish to IoT Core as the administrator."""
    found = await device.nucleus.cli("iotcore", "pub", "--topic", topic, "--message", text)
    assert found.code == 0, found


async def test_messages_wait_for_the_network_in_their_order(
    site: cloud_site.Site, device: cloud_site.Device, thing: str
) -> None:
    """What is published without a network arrives when it is back: all of it, in order, once."""
    topic = f"verge/{thing}/results"
    with Listener(site, thing) as listener:
        listener.subscribe(topic)
        await publish(device, topic, "before")
        assert await asyncio.to_thread(listener.receive) == (topic, b"before")
        device.cut()
        await device.nucleus.until(lambda: "Link is down" in device.nucleus.log(), "the cut")
        for number in range(5):
            await publish(device, topic, f"message {number}")
        await device.nucleus.kill()  # they are on disk
        await device.nucleus.start()
        device.mend()
        await device.linked(2)
        got = [(await asyncio.to_thread(listener.receive))[1].decode() for _ in range(5)]
        assert got == [f"message {number}" for number in range(5)]
        await publish(device, topic, "after")
        assert await asyncio.to_thread(listener.receive) == (topic, b"after")


async def test_subscriptions_outlive_a_cut(
    site: cloud_site.Site, device: cloud_site.Device, thing: str
) -> None:
    """A component's subscription to IoT Core holds over the loss of the link."""
    topic = f"verge/{thing}/orders"
    subscriber = await device.nucleus.start_process("iotcore", "sub", "--topic", topic)
    assert subscriber.stdout
    try:
        with Listener(site, thing) as cloud:
            await send_until_heard(cloud, topic, "first", subscriber)
            device.cut()
            await device.nucleus.until(lambda: "Link is down" in device.nucleus.log(), "the cut")
            device.mend()
            await device.linked(2)
            await send_until_heard(cloud, topic, "second", subscriber)
    finally:
        subscriber.kill()
        await subscriber.communicate()


async def send_until_heard(
    cloud: devices.Client, topic: str, text: str, subscriber: asyncio.subprocess.Process
) -> None:
    """Publish until the subscriber prints it; nobody tells when a subscription is in force."""
    assert subscriber.stdout
    async with asyncio.timeout(nuclei.PATIENCE):
        heard = asyncio.ensure_future(_line_with(subscriber.stdout, text))
        while not heard.done():
            cloud.paho.publish(topic, text.encode(), qos=1)
            await asyncio.wait([heard], timeout=0.1)
        await heard


async def _line_with(stream: asyncio.StreamReader, text: str) -> None:
    while line := await stream.readline():
        if text.encode() in line:
            return
    raise AssertionError(f"the subscriber ended without {text!r}")


async def test_component_uses_its_credentials(
    site: cloud_site.Site, device: cloud_site.Device, thing: str
) -> None:
    """boto3 in a component finds credentials and S3 without any configuration; others get none."""
    reader = (
        "import boto3, os, sys\n"
        "body = boto3.client('s3').get_object(Bucket=sys.argv[1], Key=sys.argv[2])['Body'].read()\n"
        "with open('part', 'wb') as file: file.write(body)\n"
        "os.rename('part', 'read')\n"
    )
    one = recipes.Component(
        f"{PRESS}.{thing}",
        run=f"{sys.executable} {{artifacts:path}}/read.py {cloud_site.BUCKET} {thing}.txt "
        "&& exec sleep 1000",
        artifacts={"read.py": reader.encode()},
        dependencies={SDK_CLIENT: ">=2.0.0"},
    )
    other = recipes.Component(f"com.example.Other.{thing}", run="env > env; exec sleep 1000")
    site.s3.put_object(Bucket=cloud_site.BUCKET, Key=f"{thing}.txt", Body=b"hello press")
    site.publish(one)
    site.publish(other)
    site.group(f"line-{thing}", thing)
    await device.ended(site.deploy(f"line-{thing}", {one.name: "1.0.0", other.name: "1.0.0"}))
    read = device.nucleus.work(one.name, "read")
    await device.nucleus.until(read.is_file, f"it reads\n{device.nucleus.log(one.name)}")
    assert read.read_bytes() == b"hello press"
    environment = device.nucleus.work(other.name, "env")
    await device.nucleus.until(environment.is_file, "its environment")
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" not in environment.read_text()


async def test_stranger_gets_no_credentials(device: cloud_site.Device) -> None:
    """The token exchange answers 403 to a token that is nobody's, and never with keys."""
    line = next(s for s in device.nucleus.log().splitlines() if "Token exchange serves" in s)
    port = int(line.partition("port=")[2].rstrip("}"))
    url = f"http://127.0.0.1:{port}/2016-11-01/credentialprovider/"
    for headers in ({}, {"Authorization": "A" * 16}):
        request = urllib.request.Request(url, headers=headers)
        with pytest.raises(urllib.error.HTTPError) as refused:
            await asyncio.to_thread(urllib.request.urlopen, request)
        with refused.value:
            assert refused.value.code == 403
            assert "AccessKeyId" not in refused.value.read().decode()


async def test_state_of_the_link_is_shown(device: cloud_site.Device) -> None:
    """`verge-nucleus list` says since when the device is linked, or why it is not."""
    nucleus = "aws.greengrass.Nucleus"

    async def shown() -> str:
        listed = (await device.nucleus.cli("list", "--json")).document["components"]
        return str(next(one["status_reason"] for one in listed if one["name"] == nucleus))

    assert (await shown()).startswith("linked to 127.0.0.1 since 2")
    device.cut()
    await device.nucleus.until(lambda: "Link is down" in device.nucleus.log(), "the cut")
    assert (await shown()).startswith("no link to 127.0.0.1: ")


async def test_no_endpoint_means_no_network(site: cloud_site.Site) -> None:
    """Without an endpoint the nucleus opens no connection and no port, whatever is deployed."""
    one = recipes.Component(PRESS, run=IDLE, dependencies={SDK_CLIENT: ">=2.0.0"})
    async with nuclei.running_nucleus(one) as nucleus:
        report = await nucleus.deploy("--merge", f"{PRESS}=1.0.0")
        assert report["status"] == "SUCCEEDED"
        assert await asyncio.to_thread(_internet_sockets, nucleus.pid) == []
        assert "link" not in nucleus.log().lower()


def _internet_sockets(pid: int) -> list[str]:
    """Return the Internet sockets that a process has open."""
    own = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            own.add(os.readlink(descriptor))  # noqa: PTH115 - the text, not a path
        except FileNotFoundError:
            continue
    found: list[str] = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        found += [line for line in lines if f"socket:[{line.split()[9]}]" in own]
    return found


async def test_impostor_is_not_trusted(site: cloud_site.Site, thing: str, tmp_path: Path) -> None:
    """A server with another authority's certificate gets no link and stands in the log."""
    async with cloud_site.device(site, thing, start=False) as device:
        impostor = await asyncio.start_server(
            lambda _reader, _writer: None, "127.0.0.1", 0, ssl=certificates.server_context(tmp_path)
        )
        async with impostor:
            port = impostor.sockets[0].getsockname()[1]
            device.mqtt.target = device.https.target = port
            await device.nucleus.start()
            await device.nucleus.until(
                lambda: "certificate is not trusted" in device.nucleus.log(), "the refusal"
            )
            assert device.links() == 0
            endpoints = site.cloud.endpoints
            device.mqtt.target, device.https.target = endpoints.mqtt_port, endpoints.device_port
            await device.linked()


async def test_hanging_server_holds_nothing_up(
    site: cloud_site.Site, device: cloud_site.Device, thing: str
) -> None:
    """While the cloud takes connections and says nothing, the device serves and ends as ever."""
    one = recipes.Component(f"{PRESS}.{thing}", run=IDLE, artifacts={"data": b"x"})
    site.publish(one)
    site.group(f"line-{thing}", thing)
    device.https.hold()
    site.deploy(f"line-{thing}", {one.name: "1.0.0"})
    await device.nucleus.until(lambda: "Deployment begun" in device.nucleus.log(), "its begin")
    listed = await device.nucleus.cli("list", "--json")
    assert listed.code == 0
    began = asyncio.get_running_loop().time()
    await device.nucleus.stop()
    assert asyncio.get_running_loop().time() - began < 5
    await device.nucleus.start()
    device.mend()
    await device.nucleus.in_state(one.name, "RUNNING")


async def test_revoked_device_is_cut_off_and_comes_back(
    site: cloud_site.Site, device: cloud_site.Device, thing: str
) -> None:
    """A revoked certificate ends the link; made active again, the device comes back by itself."""
    principal = site.iot.list_thing_principals(thingName=thing)["principals"][0]
    certificate = principal.rpartition("/")[2]
    site.iot.update_certificate(certificateId=certificate, newStatus="INACTIVE")
    await device.nucleus.until(lambda: "Link is down" in device.nucleus.log(), "the cut")
    site.iot.update_certificate(certificateId=certificate, newStatus="ACTIVE")
    await device.linked(2)
    await device.until(
        lambda: site.greengrass.get_core_device(coreDeviceThingName=thing), "its report"
    )
