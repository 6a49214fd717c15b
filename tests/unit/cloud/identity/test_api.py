"""Certificates and endpoints through the IoT API, with moto as the registry."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from moto import backends
from werkzeug.test import Client

from tests.support import devices
from verge.cloud import aws, database, settings
from verge.cloud.http import application
from verge.cloud.identity import api, authority


class Cloud:
    """The IoT API with certificates of ours in front of the registry."""

    def __init__(self, state: Path, **options: Any) -> None:
        chosen = settings.Settings(state=state, **options)
        backends.get_backend("iot").reset()  # it is the process's
        self.rows = database.Database(chosen.database, [aws.SCHEMA])
        self.backend = aws.Backend(database=self.rows, settings=chosen)
        self.things = aws.Things(backend=self.backend)
        self.authority = authority.Authority(settings=chosen)
        made = api.Api(
            settings=chosen,
            authority=self.authority,
            registry=self.backend,
            device_port=lambda: 18443,
        )
        handle = application.by_route(made.routes(), self.backend.handle)
        self._client = Client(application.Application(handle))

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send one request as a tool does."""
        scope = "AKIAEXAMPLE/20261121/eu-west-1/iot/aws4_request"
        answer = self._client.open(
            path,
            method=method,
            data=json.dumps(body) if body is not None else None,
            headers={
                "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, "
                "SignedHeaders=host, Signature=0",
                "Content-Type": "application/json",
            },
        )
        text = answer.get_data(as_text=True)
        return answer.status_code, json.loads(text) if text else None


@pytest.fixture
def cloud(tmp_path: Path) -> Any:
    """A cloud in a directory of its own."""
    made = Cloud(tmp_path)
    yield made
    made.rows.close()


def der(pem: str) -> bytes:
    """Return a certificate as DER."""
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)


def attach(cloud: Cloud, thing: str, arn: str) -> None:
    """Make a thing and attach a certificate to it."""
    assert cloud.ask("POST", f"/things/{thing}", {})[0] == 200
    scope = "AKIAEXAMPLE/20261121/eu-west-1/iot/aws4_request"
    cloud.backend.call(
        "PUT",
        f"/things/{thing}/principals",
        [
            ("x-amzn-principal", arn),
            (
                "Authorization",
                f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
            ),
        ],
    )


@pytest.mark.parametrize("active", [True, False])
def test_certificate_from_request(cloud: Cloud, active: bool) -> None:
    """A certificate for a request is signed by the authority and registered under its digest."""
    key = ec.generate_private_key(ec.SECP256R1())
    status, answer = cloud.ask(
        "POST",
        f"/certificates?setAsActive={str(active).lower()}",
        {"certificateSigningRequest": devices.request(key)},
    )
    assert status == 200
    assert set(answer) == {"certificateArn", "certificateId", "certificatePem"}
    content = der(answer["certificatePem"])
    assert answer["certificateId"] == hashlib.sha256(content).hexdigest()
    assert answer["certificateArn"].endswith(f":cert/{answer['certificateId']}")
    status, known = cloud.ask("GET", f"/certificates/{answer['certificateId']}")
    assert status == 200
    described = known["certificateDescription"]
    assert described["status"] == ("ACTIVE" if active else "INACTIVE")
    assert described["certificatePem"] == answer["certificatePem"]


def test_keys_and_certificate(cloud: Cloud) -> None:
    """A key pair comes with its certificate."""
    status, answer = cloud.ask("POST", "/keys-and-certificate?setAsActive=true")
    assert status == 200
    key = serialization.load_pem_private_key(answer["keyPair"]["PrivateKey"].encode(), None)
    certificate = x509.load_pem_x509_certificate(answer["certificatePem"].encode())
    assert key.public_key() == certificate.public_key()


def test_life_of_a_certificate(cloud: Cloud) -> None:
    """A certificate stands for its thing while it is ACTIVE and attached; every change is told."""
    changes: list[None] = []
    cloud.things.on_change(lambda: changes.append(None))
    key = ec.generate_private_key(ec.SECP256R1())
    _, answer = cloud.ask(
        "POST",
        "/certificates?setAsActive=true",
        {"certificateSigningRequest": devices.request(key)},
    )
    content, number = der(answer["certificatePem"]), answer["certificateId"]
    assert cloud.things.authenticate(content) is None
    attach(cloud, "press-07", answer["certificateArn"])
    device = cloud.things.authenticate(content)
    assert device is not None
    assert (device.thing, device.certificate_id) == ("press-07", number)
    for status in ("INACTIVE", "ACTIVE", "REVOKED"):
        count = len(changes)
        assert cloud.ask("PUT", f"/certificates/{number}?newStatus={status}")[0] == 200
        assert (cloud.things.authenticate(content) is not None) is (status == "ACTIVE")
        assert len(changes) > count


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="no request"),
        pytest.param({"certificateSigningRequest": "garbage"}, id="garbage"),
        pytest.param({"certificateSigningRequest": 7}, id="a number"),
        pytest.param([], id="no object"),
        pytest.param(None, id="no body"),
    ],
)
def test_refused_requests(cloud: Cloud, body: Any) -> None:
    """What is no signing request is refused as IoT Core refuses it, and nothing is registered."""
    status, answer = cloud.ask("POST", "/certificates", body)
    assert (status, answer["__type"]) == (400, "InvalidRequestException")
    assert answer["message"].startswith("cannot ")
    assert cloud.ask("GET", "/certificates")[1]["certificates"] == []


@pytest.mark.parametrize(
    ("kind", "https_port", "address"),
    [
        ("iot:Data-ATS", None, "10.89.7.1"),
        ("iot:Data", None, "10.89.7.1"),
        ("iot:Jobs", None, "10.89.7.1"),
        (None, None, "10.89.7.1"),
        ("iot:CredentialProvider", None, "10.89.7.1:18443"),
        ("iot:CredentialProvider", 443, "10.89.7.1"),
        ("iot:CredentialProvider", 444, "10.89.7.1:18443"),
    ],
)
def test_endpoints(tmp_path: Path, kind: str | None, https_port: int | None, address: str) -> None:
    """Endpoints are the first device address, with a port where it is not the usual one."""
    cloud = Cloud(tmp_path, device_addresses=("10.89.7.1", "127.0.0.1"), https_port=https_port)
    query = "" if kind is None else f"?endpointType={kind}"
    assert cloud.ask("GET", f"/endpoint{query}") == (200, {"endpointAddress": address})
    cloud.rows.close()


def test_unknown_endpoint(cloud: Cloud) -> None:
    """An unknown type of endpoint is refused with those there are."""
    status, answer = cloud.ask("GET", "/endpoint?endpointType=iot:Nothing")
    assert status == 400
    assert "iot:CredentialProvider" in answer["message"]


@pytest.mark.parametrize("seconds", [899, 43_201, 0, -1, "900", True])
def test_role_aliases_out_of_bounds(cloud: Cloud, seconds: Any) -> None:
    """IoT Core knows credentials of 15 minutes to 12 hours; others are refused, and not kept."""
    path, role = "/role-aliases/tokens", {"roleArn": "arn:aws:iam::123456789012:role/r"}
    status, answer = cloud.ask("POST", path, {**role, "credentialDurationSeconds": seconds})
    assert (status, answer["__type"]) == (400, "InvalidRequestException")
    assert cloud.things.role_alias("tokens") is None
    assert cloud.ask("POST", path, {**role, "credentialDurationSeconds": 900})[0] == 200
    assert cloud.ask("PUT", path, {"credentialDurationSeconds": seconds})[0] == 400
    found = cloud.ask("GET", path)[1]["roleAliasDescription"]
    assert found["credentialDurationSeconds"] == 900


ALLOWED = {"Effect": "Allow", "Action": "iot:Connect", "Resource": ["*"]}


@pytest.mark.parametrize(
    "document",
    [
        "no JSON",
        "[" * 100_000,
        "[]",
        "{}",
        {"Statement": []},
        {"Statement": ["Allow"]},
        {"Statement": [{**ALLOWED, "Effect": "Permit"}]},
        {"Statement": {"Effect": "Allow", "Resource": "*"}},
        {"Statement": [ALLOWED, {**ALLOWED, "Resource": [1]}]},
        {"Statement": [{**ALLOWED, "Condition": []}]},
        {"Statement": [{**ALLOWED, "Condition": {"Bool": "true"}}]},
    ],
)
def test_policies_that_say_nothing(cloud: Cloud, document: Any) -> None:
    """What is no policy is refused: no connection could be judged by it, nor cut."""
    text = document if isinstance(document, str) else json.dumps(document)
    status, answer = cloud.ask("POST", "/policies/press", {"policyDocument": text})
    assert (status, answer["__type"]) == (400, "MalformedPolicyException")
    good = json.dumps({"Statement": [ALLOWED, {**ALLOWED, "Condition": {}}]})
    assert cloud.ask("POST", "/policies/press", {"policyDocument": good})[0] == 200
    assert cloud.ask("POST", "/policies/press/version", {"policyDocument": text})[0] == 400
    assert cloud.ask("GET", "/policies/press")[1]["policyDocument"] == good
