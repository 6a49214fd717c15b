"""Devices of the local cloud as their network sees them: certificates, MQTT clients, raw TLS."""

from __future__ import annotations

import contextlib
import queue
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from paho.mqtt import client as paho
from paho.mqtt import enums, packettypes, properties, subscribeoptions

from tests.support import cloud_doubles
from verge.cloud import ports, settings
from verge.cloud.broker import backlog, broker
from verge.cloud.identity import authority

PATIENCE = 10.0

needs_mosquitto = pytest.mark.skipif(
    shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin") is None,
    reason="mosquitto is not installed (role controller installs it)",
)

OWN_TOPICS: ports.Document = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "iot:Connect",
            "Resource": "arn:aws:iot:*:*:client/${iot:Connection.Thing.ThingName}*",
        },
        {
            "Effect": "Allow",
            "Action": ["iot:Publish", "iot:Receive", "iot:RetainPublish"],
            "Resource": [
                "arn:aws:iot:*:*:topic/$aws/things/${iot:Connection.Thing.ThingName}/*",
                "arn:aws:iot:*:*:topic/verge/${iot:Connection.Thing.ThingName}/*",
            ],
        },
        {
            "Effect": "Allow",
            "Action": "iot:Subscribe",
            "Resource": [
                "arn:aws:iot:*:*:topicfilter/$aws/things/${iot:Connection.Thing.ThingName}/*",
                "arn:aws:iot:*:*:topicfilter/verge/${iot:Connection.Thing.ThingName}/*",
            ],
        },
        {
            "Effect": "Allow",
            "Action": ["greengrass:*", "iot:AssumeRoleWithCertificate"],
            "Resource": "*",
        },
    ],
}
"""A policy as role `greengrass` attaches it: a device's own topics."""


class Identity(NamedTuple):
    """Files with a certificate and its key, and the certificate as DER."""

    certificate: Path
    key: Path
    der: bytes

    def context(self, ca: Path) -> ssl.SSLContext:
        """Return the client's side of TLS with this identity."""
        context = ssl.create_default_context(cafile=str(ca))
        context.load_cert_chain(self.certificate, self.key)
        return context


def request(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, name: str = "device") -> str:
    """Return a certificate signing request in PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def store(directory: Path, name: str, pem: str, key: ec.EllipticCurvePrivateKey) -> Identity:
    """Write certificate and key."""
    certificate, key_file = directory / f"{name}.pem", directory / f"{name}.key"
    certificate.write_text(pem)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)
    return Identity(certificate, key_file, der)


def make_identity(signer: authority.Authority, directory: Path, name: str) -> Identity:
    """Return a certificate of this cloud, which stands for nothing yet."""
    key = ec.generate_private_key(ec.SECP256R1())
    return store(directory, name, signer.sign_request(request(key)).certificate, key)


class Site:
    """An authority, things in memory and a broker on free ports."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.settings = settings.Settings(
            state=state, api_port=0, device_port=0, mqtt_port=0, device_addresses=("127.0.0.1",)
        )
        self.authority = authority.Authority(settings=self.settings)
        self.things = cloud_doubles.Registry()
        self.broker = self._broker()

    def _broker(self) -> broker.Broker:
        return broker.Broker(settings=self.settings, things=self.things, authority=self.authority)

    @property
    def backlog(self) -> backlog.Backlog:
        """What the broker counts."""
        return self.broker._gate._backlog

    @property
    def ca(self) -> Path:
        """What devices trust."""
        return self.authority.certificate

    def add(self, name: str, *policies: ports.Document) -> Identity:
        """Make a thing with a certificate and policies (OWN_TOPICS unless given)."""
        identity = make_identity(self.authority, self.state, name)
        self.things.things.add(name)
        self.things.devices[identity.der] = ports.Device(name, identity.der.hex()[:64])
        self.things.policies[name] = policies or (OWN_TOPICS,)
        self.things.changed()
        return identity

    def cut_off(self, identity: Identity) -> None:
        """Let a certificate stand for nothing any more."""
        del self.things.devices[identity.der]
        self.things.changed()

    def client(self, identity: Identity, client_id: str, **options: Any) -> Client:
        """Return an MQTT client that has not connected yet."""
        return Client(identity.context(self.ca), self.broker.port, client_id, **options)

    def raw(self, identity: Identity | None) -> ssl.SSLSocket:
        """Return a TLS connection to the MQTT port."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if identity is not None:
            context.load_cert_chain(identity.certificate, identity.key)
        plain = socket.create_connection(("127.0.0.1", self.broker.port), PATIENCE)
        return context.wrap_socket(plain, server_hostname="localhost")


@contextlib.contextmanager
def running_site(state: Path) -> Iterator[Site]:
    """Run a site."""
    site = Site(state)
    site.broker.start()
    try:
        yield site
    finally:
        site.broker.stop()


class Client:
    """paho as a device: what happens lies in queues and can be waited for."""

    def __init__(
        self,
        context: ssl.SSLContext,
        port: int,
        client_id: str,
        *,
        version: int = paho.MQTTv5,
        clean: bool = True,
        keep_alive: int = 30,
        will: tuple[str, bytes] | None = None,
        manual_ack: bool = False,
    ) -> None:
        self.version = version
        self.messages: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self.connections: queue.Queue[tuple[int, bool]] = queue.Queue()
        self.disconnections: queue.Queue[int] = queue.Queue()
        self.subscriptions: queue.Queue[list[int]] = queue.Queue()
        self.published: queue.Queue[tuple[int, int]] = queue.Queue()
        self._port, self._clean, self._keep_alive = port, clean, keep_alive
        session: dict[str, Any] = {} if version == paho.MQTTv5 else {"clean_session": clean}
        self.paho = paho.Client(
            callback_api_version=enums.CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=version,  # type: ignore[arg-type]
            manual_ack=manual_ack,
            **session,
        )
        self.paho.tls_set_context(context)
        self.paho.reconnect_delay_set(0.05, 0.2)  # type: ignore[arg-type]
        if will is not None:
            self.paho.will_set(will[0], will[1], qos=1)
        self.paho.on_connect = lambda c, u, flags, reason, p: self.connections.put(
            (reason.value, flags.session_present)
        )
        self.paho.on_disconnect = lambda c, u, f, reason, p: self.disconnections.put(reason.value)
        self.paho.on_message = lambda c, u, message: self.messages.put(message)
        self.paho.on_subscribe = lambda c, u, m, reasons, p: self.subscriptions.put(
            [reason.value for reason in reasons]
        )
        self.paho.on_publish = lambda c, u, mid, reason, p: self.published.put((mid, reason.value))

    def connect(self) -> tuple[int, bool]:
        """Connect; return the reason code and whether there was a session."""
        options: dict[str, Any] = {}
        if self.version == paho.MQTTv5:
            lasting = properties.Properties(packettypes.PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            lasting.SessionExpiryInterval = 0 if self._clean else 3600
            options = {"clean_start": self._clean, "properties": lasting}
        self.paho.connect("127.0.0.1", self._port, self._keep_alive, **options)
        self.paho.loop_start()
        return self.connections.get(timeout=PATIENCE)

    def subscribe(self, *filters: str, qos: int = 1) -> list[int]:
        """Subscribe; return the codes."""
        if self.version == paho.MQTTv5:
            options = subscribeoptions.SubscribeOptions(qos=qos)
            self.paho.subscribe([(each, options) for each in filters])
        else:
            self.paho.subscribe([(each, qos) for each in filters])
        return self.subscriptions.get(timeout=PATIENCE)

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> int:
        """Publish; return the reason code of the acknowledgement, 0 for every success."""
        self.paho.publish(topic, payload, qos=qos, retain=retain)
        code = self.published.get(timeout=PATIENCE)[1]
        return code if code >= 0x80 else 0

    def receive(self) -> tuple[str, bytes]:
        """Wait for the next message."""
        message = self.messages.get(timeout=PATIENCE)
        return message.topic, bytes(message.payload)

    def wait_cut(self) -> None:
        """Wait until the connection is lost."""
        self.disconnections.get(timeout=PATIENCE)

    def close(self) -> None:
        """Disconnect."""
        self.paho.disconnect()
        self.paho.loop_stop()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait until something holds; return it."""
    end = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not (found := condition()):
        assert time.monotonic() < end, f"still not: {what}"
        pause.wait(0.01)
    return found
