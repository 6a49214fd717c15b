"""The gate with a real mosquitto behind it, as devices see it over TLS."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from paho.mqtt import client as paho

from tests.support import devices
from verge.cloud import ports, settings
from verge.cloud.broker import opening, packets
from verge.cloud.identity import authority

pytestmark = devices.needs_mosquitto

VERSIONS = pytest.mark.parametrize("version", [paho.MQTTv311, paho.MQTTv5], ids=["3.1.1", "5"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[devices.Site]:
    """One broker for all tests; each makes things of its own."""
    with devices.running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


def refused(site: devices.Site, identity: devices.Identity | None) -> bool:
    """Whether the gate hangs up without a word, even after a proper CONNECT."""
    connect = packets.Connect(packets.V3, True, 30, "press-07").encode()
    try:
        with site.raw(identity) as connection:
            connection.sendall(connect)
            return connection.recv(1) == b""
    except (ssl.SSLError, ConnectionError):
        return True


@VERSIONS
@pytest.mark.parametrize("qos", [0, 1])
def test_own_topics(site: devices.Site, version: int, qos: int) -> None:
    """A device publishes and receives on its own topics, at QoS 0 and 1."""
    name = f"own-{version}-{qos}"
    with site.client(site.add(name), name, version=version) as client:
        assert client.connect() == (0, False)
        assert client.subscribe(f"verge/{name}/#", qos=qos) == [qos]
        assert client.publish(f"verge/{name}/a", b"x" * 100, qos=qos) == 0
        assert client.receive() == (f"verge/{name}/a", b"x" * 100)


def test_no_certificate(site: devices.Site) -> None:
    """Without a certificate there is nothing."""
    assert refused(site, None)


def test_foreign_certificate(site: devices.Site, tmp_path: Path) -> None:
    """A certificate of another authority is nothing, even if it is registered here."""
    foreign = authority.Authority(settings=settings.Settings(state=tmp_path))
    identity = devices.make_identity(foreign, tmp_path, "press-07")
    site.things.devices[identity.der] = ports.Device("press-07", "f" * 64)
    assert refused(site, identity)


def test_unknown_certificate(site: devices.Site, tmp_path: Path) -> None:
    """A certificate of this authority that stands for no thing is nothing."""
    assert refused(site, devices.make_identity(site.authority, tmp_path, "press-07"))


def test_server_is_no_device(site: devices.Site, tmp_path: Path) -> None:
    """A device's certificate does not serve: other devices refuse it whatever its name."""
    key = ec.generate_private_key(ec.SECP256R1())
    signed = site.authority.sign_request(devices.request(key, "localhost"))
    identity = devices.store(tmp_path, "impostor", signed.certificate, key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(identity.certificate, identity.key)
    client = ssl.create_default_context(cafile=str(site.ca))
    client.check_hostname = False
    there, here = (ssl.MemoryBIO(), ssl.MemoryBIO())
    serving = server.wrap_bio(here, there, server_side=True)
    asking = client.wrap_bio(there, here)
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):  # noqa: PT012
        for _ in range(4):
            for side in (asking, serving):
                with contextlib.suppress(ssl.SSLWantReadError):
                    side.do_handshake()


@VERSIONS
@pytest.mark.parametrize("client_id", ["other", "", "taken", "taker#", "verge/cloud"])
def test_foreign_client_id(site: devices.Site, version: int, client_id: str) -> None:
    """A device cannot take the session of another, or of the cloud; it is told so."""
    site.add("taken")
    wanted = "taker" if client_id == "taker#" else "taken#2"
    identity = site.add("taker")
    level = packets.V5 if version == paho.MQTTv5 else packets.V3
    connect = packets.Connect(level, True, 30, client_id if client_id != "taker#" else wanted)
    with site.raw(identity) as connection:
        connection.sendall(connect.encode())
        answer = connection.recv(100)
        if client_id == "taker#":
            assert answer[3] == 0
        else:
            assert answer == packets.connack(level, packets.Reason.CLIENT_ID)
            assert connection.recv(1) == b""


def test_numbered_client_id(site: devices.Site) -> None:
    """Further connections of a nucleus are `THING#N`; both stay."""
    identity = site.add("press-09")
    with site.client(identity, "press-09") as one, site.client(identity, "press-09#2") as two:
        assert one.connect()[0] == 0
        assert two.connect()[0] == 0
        two.subscribe("verge/press-09/a")
        assert one.publish("verge/press-09/a", b"hello") == 0
        assert two.receive()[1] == b"hello"


def test_prefix_is_no_owner(site: devices.Site) -> None:
    """A thing whose name begins with another's name has a session of its own."""
    with site.client(site.add("pre"), "pre-2") as client:
        assert client.connect()[0] == packets.Reason.CLIENT_ID.code(packets.V5)


@VERSIONS
def test_policy_forbids_connecting(site: devices.Site, version: int) -> None:
    """Without iot:Connect in a policy a device that is known stays outside."""
    identity = site.add("mute", {"Statement": []})
    with site.client(identity, "mute", version=version) as client:
        client.paho.connect("127.0.0.1", site.broker.port)
        client.paho.loop_start()
        code, _ = client.connections.get(timeout=devices.PATIENCE)
        assert code == packets.Reason.NOT_AUTHORIZED.code(packets.V5)


@VERSIONS
@pytest.mark.parametrize(
    "topic_filter",
    [
        "#",
        "+/+/#",
        "$aws/#",
        "$aws/things/+/jobs/#",
        "$aws/things/victim/jobs/#",
        "$aws/things/victim/shadow/name/+/get/accepted",
        "verge/victim/a",
        "$share/g/verge/victim/a",
        "$SYS/#",
    ],
)
def test_foreign_subscriptions(site: devices.Site, version: int, topic_filter: str) -> None:
    """Filters that are another's, or cover another's topics, are refused and bring nothing."""
    site.add("victim")
    with site.client(site.add("spy"), "spy", version=version) as client:
        client.connect()
        assert client.subscribe(topic_filter)[0] >= 0x80
        assert client.subscribe("verge/spy/end") == [1]
        site.broker.bus.publish("$aws/things/victim/jobs/notify", b"secret")
        site.broker.bus.publish("verge/victim/a", b"secret")
        site.broker.bus.publish("verge/spy/end", b"end")
        assert client.receive() == ("verge/spy/end", b"end")


def test_wide_subscription_delivers_own_only(site: devices.Site) -> None:
    """A policy that allows a wide filter still hands over only what may be received."""
    wide = {"Statement": {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "*"}}
    with site.client(site.add("wide", devices.OWN_TOPICS, wide), "wide") as client:
        client.connect()
        assert client.subscribe("verge/#") == [1]
        site.broker.bus.publish("verge/victim/a", b"secret")
        site.broker.bus.publish("verge/wide/a", b"own")
        assert client.receive() == ("verge/wide/a", b"own")


def test_foreign_publish(site: devices.Site) -> None:
    """A device cannot publish to another's topics: MQTT 5 is told, MQTT 3.1.1 cut off."""
    with site.client(site.add("victim"), "victim") as victim:
        victim.connect()
        victim.subscribe("$aws/things/victim/#")
        identity = site.add("liar")
        with site.client(identity, "liar") as client:
            client.connect()
            assert client.publish("$aws/things/victim/jobs/notify", b"lie") == 0x87
        with site.client(identity, "liar", version=paho.MQTTv311) as client:
            client.connect()
            client.paho.publish("$aws/things/victim/jobs/notify", b"lie", qos=1)
            client.wait_cut()
        site.broker.bus.publish("$aws/things/victim/jobs/notify", b"truth")
        assert victim.receive()[1] == b"truth"


def test_foreign_will(site: devices.Site) -> None:
    """A last will to another's topic is refused with the connection."""
    with site.client(site.add("dying"), "dying", will=("verge/victim/a", b"boo")) as client:
        assert client.connect()[0] == packets.Reason.NOT_AUTHORIZED.code(packets.V5)


def test_will_and_cut(site: devices.Site) -> None:
    """A device that is cut off is gone at once: it loses its connection and its will is sent."""
    policy = {
        "Statement": {
            "Effect": "Allow",
            "Action": ["iot:Receive", "iot:Subscribe"],
            "Resource": "*",
        }
    }
    identity = site.add("leaver")
    with site.client(site.add("heir", devices.OWN_TOPICS, policy), "heir") as heir:
        heir.connect()
        heir.subscribe("verge/leaver/will")
        with site.client(identity, "leaver", will=("verge/leaver/will", b"bye")) as client:
            client.connect()
            began = time.monotonic()
            site.cut_off(identity)
            client.wait_cut()
            assert heir.receive()[1] == b"bye"
            assert time.monotonic() - began < 5
        assert refused(site, identity)


def test_policy_change(site: devices.Site) -> None:
    """A policy that changes is obeyed at once, in the connection that lasts."""
    with site.client(site.add("tamed"), "tamed") as client:
        client.connect()
        assert client.publish("verge/tamed/a", b"") == 0
        connect_only = {"Statement": {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}}
        site.things.policies["tamed"] = (connect_only,)
        site.things.changed()
        devices.until(lambda: client.publish("verge/tamed/a", b"") == 0x87, "refused")
        site.things.policies["tamed"] = ()
        site.things.changed()
        client.wait_cut()


def test_certificate_of_another_thing(site: devices.Site) -> None:
    """A certificate that is attached to another thing now loses the first one's connection."""
    identity = site.add("moved")
    with site.client(identity, "moved") as client:
        client.connect()
        site.things.devices[identity.der] = ports.Device("elsewhere", "e" * 64)
        site.things.changed()
        client.wait_cut()


def test_takeover_by_itself(site: devices.Site) -> None:
    """The same client id connects anew: the older connection ends, as MQTT wants it."""
    identity = site.add("twin")
    with site.client(identity, "twin") as older:
        older.connect()
        with site.raw(identity) as newer:
            newer.sendall(packets.Connect(packets.V5, True, 30, "twin").encode())
            assert newer.recv(4)[3] == 0
            older.wait_cut()


@VERSIONS
def test_persistent_session(site: devices.Site, version: int) -> None:
    """What comes while a device is away waits for it."""
    name = f"away-{version}"
    identity = site.add(name)
    with site.client(identity, name, version=version, clean=False) as client:
        assert client.connect() == (0, False)
        client.subscribe(f"$aws/things/{name}/jobs/#")
    for number in range(3):
        site.broker.bus.publish(f"$aws/things/{name}/jobs/notify", {"number": number})
    with site.client(identity, name, version=version, clean=False) as client:
        assert client.connect() == (0, True)
        assert [client.receive()[1] for _ in range(3)] == [
            b'{"number":0}',
            b'{"number":1}',
            b'{"number":2}',
        ]
    with site.client(identity, name, version=version, clean=True) as client:
        assert client.connect() == (0, False)


@VERSIONS
def test_retained(site: devices.Site, version: int) -> None:
    """A retained message is there for who subscribes later, until it is cleared."""
    name = f"retain-{version}"
    with site.client(site.add(name), name, version=version) as client:
        client.connect()
        client.publish(f"verge/{name}/state", b"on", retain=True)
        client.subscribe(f"verge/{name}/state")
        assert client.receive()[1] == b"on"
        client.publish(f"verge/{name}/state", b"", retain=True)


@VERSIONS
def test_large_payload(site: devices.Site, version: int) -> None:
    """128 KiB pass in both directions, as in IoT Core; one byte more ends the connection."""
    name = f"large-{version}"
    with site.client(site.add(name), name, version=version) as client:
        client.connect()
        client.subscribe(f"verge/{name}/a")
        payload = os.urandom(128 * 1024)
        assert client.publish(f"verge/{name}/a", payload) == 0
        assert client.receive()[1] == payload
        client.paho.publish(f"verge/{name}/a", payload + b"x", qos=1)
        client.wait_cut()


def test_keep_alive(site: devices.Site) -> None:
    """A device that is silent for one and a half times its keep-alive is disconnected."""
    with site.raw(site.add("silent")) as connection:
        connection.sendall(packets.Connect(packets.V3, True, 1, "silent").encode())
        assert connection.recv(4) == b"\x20\x02\x00\x00"
        connection.sendall(b"\xc0\x00")
        assert connection.recv(2) == b"\xd0\x00"
        connection.settimeout(devices.PATIENCE)
        assert connection.recv(1) == b""


def _slow_handshake(site: devices.Site) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", site.broker.port))
    sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
    return sock


def _garbage(site: devices.Site) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", site.broker.port))
    sock.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
    return sock


def _half_connect(site: devices.Site) -> socket.socket:
    sock = site.raw(site.add("half"))
    sock.sendall(packets.Connect(packets.V5, True, 30, "half").encode()[:9])
    return sock


def _garbage_packet(site: devices.Site) -> socket.socket:
    sock = site.raw(site.add("rubbish"))
    sock.sendall(packets.Connect(packets.V5, True, 30, "rubbish").encode() + b"\x00\x00" * 50)
    return sock


def _endless_length(site: devices.Site) -> socket.socket:
    sock = site.raw(site.add("endless"))
    sock.sendall(b"\x10\xff\xff\xff\xff\x7f")
    return sock


def _reset(site: devices.Site) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", site.broker.port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.sendall(b"\x16\x03")
    sock.close()
    return socket.socket()


def _deaf(site: devices.Site) -> socket.socket:
    """Subscribe and never read again."""
    sock = site.raw(site.add("deaf"))
    connect = packets.Connect(packets.V3, True, 0, "deaf").encode()
    wanted = packets.Subscribe(1, b"", (("verge/deaf/a", 0),)).encode(packets.V3)
    sock.sendall(connect + wanted)
    for _ in range(64):
        site.broker.bus.publish("verge/deaf/a", b"x" * 100_000, qos=0)
    return sock


@pytest.mark.parametrize(
    ("name", "misbehave"),
    [
        ("slow-handshake", _slow_handshake),
        ("garbage", _garbage),
        ("half-connect", _half_connect),
        ("garbage-packet", _garbage_packet),
        ("endless-length", _endless_length),
        ("reset", _reset),
        ("deaf", _deaf),
    ],
)
def test_misbehaviour_harms_nobody(
    site: devices.Site, name: str, misbehave: Callable[[devices.Site], socket.socket]
) -> None:
    """Twenty connections that misbehave at once leave the others as quick as ever."""
    with contextlib.ExitStack() as open_connections:
        client = open_connections.enter_context(site.client(site.add(name), name))
        client.connect()
        for _ in range(20):
            open_connections.enter_context(misbehave(site))
        began = time.monotonic()
        for _ in range(5):
            assert client.publish(f"verge/{name}/a", b"still here") == 0
        assert time.monotonic() - began < 5


def test_slow_connections_end(site: devices.Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake or a CONNECT that does not come to its end is given up after a while."""
    monkeypatch.setattr(opening, "CONNECT_TIMEOUT", 0.2)
    with _half_connect(site) as half:
        half.settimeout(devices.PATIENCE)
        assert half.recv(1) == b""


def test_unsupported_version(site: devices.Site) -> None:
    """MQTT 3.1 is told that its version is not served, as on IoT Core."""
    with site.raw(site.add("old")) as connection:
        body = b"\x00\x06MQIsdp\x03\x02\x00\x1e\x00\x03old"
        connection.sendall(packets.packet(0x10, body))
        assert connection.recv(4) == b"\x20\x02\x00\x01"


def test_user_name_is_not_passed_on(site: devices.Site) -> None:
    """AWS's clients put statistics into the user name; it changes nothing."""
    with site.raw(site.add("named")) as connection:
        connect = packets.Connect(
            packets.V3, True, 30, "named", user_name="?SDK=x", password=b"secret"
        )
        connection.sendall(connect.encode())
        assert connection.recv(4) == b"\x20\x02\x00\x00"


def test_server_names(site: devices.Site) -> None:
    """The server's certificate holds for its addresses and names, and for no others."""
    identity = site.add("careful")
    for name in ("127.0.0.1", "localhost", "bucket.s3.eu-west-1.amazonaws.com"):
        plain = socket.create_connection(("127.0.0.1", site.broker.port))
        with identity.context(site.ca).wrap_socket(plain, server_hostname=name) as secured:
            assert secured.version() == "TLSv1.3"
    plain = socket.create_connection(("127.0.0.1", site.broker.port))
    with plain, pytest.raises(ssl.SSLCertVerificationError):
        identity.context(site.ca).wrap_socket(plain, server_hostname="iot.example.com")
