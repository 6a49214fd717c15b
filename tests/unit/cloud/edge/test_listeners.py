"""The devices' ports over real TLS, with small stand-ins behind them."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import datetime as dt
import hashlib
import http.client
import json
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from werkzeug.wrappers import Request, Response

from tests.support import cloud_doubles, devices
from verge.cloud import aws, database, edge, errors, ports, settings
from verge.cloud.edge import data_plane, links, listeners
from verge.cloud.http import answers, routing
from verge.cloud.identity import authority

ROLE = "arn:aws:iam::123456789012:role/DeviceRole"
OWN = "com.example.Own"
DOCUMENT = b'{"deploymentId": "d1", "components": {}}'


class Greengrass:
    """Knows one component and one deployment of press-07; notes how many ask it at a time."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.inside: set[int] = set()
        self.most = 0

    def handler(self, operation: str) -> routing.Handler:
        """Answer with the name of the operation and what stood in the path."""

        def answer(request: Request, values: Mapping[str, str]) -> Response:
            return answers.document({"operation": operation, **values})

        return answer

    def may_resolve(self, thing: str, component: str) -> bool:
        """Allow press-07 its own component, once it is open."""
        self.inside.add(threading.get_ident())
        self.most = max(self.most, len(self.inside))
        self.open.wait()
        self.inside.discard(threading.get_ident())
        return (thing, component) == ("press-07", OWN)

    def configuration_document(self, thing: str, deployment_id: str) -> bytes | None:
        """Return the document of d1 to press-07."""
        return DOCUMENT if (thing, deployment_id) == ("press-07", "d1") else None


class Clock:
    """Time that tests set."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Edge:
    """Listeners on a free port."""

    def __init__(self, state: Path, clock: Clock, *addresses: str) -> None:
        self.settings = settings.Settings(
            state=state, device_port=0, device_addresses=addresses or ("127.0.0.1",)
        )
        self.clock = clock
        self.authority = authority.Authority(settings=self.settings)
        self.things = cloud_doubles.Registry()
        self.rows = database.Database(self.settings.database, [aws.SCHEMA, edge.SCHEMA])
        self.sessions = aws.Sessions(database=self.rows, now=clock)
        self.greengrass = Greengrass()
        self.listeners = edge.Listeners(
            settings=self.settings,
            authority=self.authority,
            things=self.things,
            sessions=self.sessions,
            greengrass=self.greengrass,
            s3=lambda request: answers.document({"s3": request.host, "path": request.path}),
            database=self.rows,
        )
        self.things.aliases["DeviceRole"] = ports.RoleAlias(ROLE, 3600)

    def add(self, name: str, *policies: ports.Document) -> devices.Identity:
        """Make a device."""
        identity = devices.make_identity(self.authority, self.settings.state, name)
        self.things.add("line", name, parent="plant")
        self.things.devices[identity.der] = ports.Device(name, "c" * 64)
        self.things.policies[name] = policies or (devices.OWN_TOPICS,)
        return identity

    def ask(
        self,
        identity: devices.Identity | None,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        address: str = "127.0.0.1",
    ) -> tuple[int, Any]:
        """Send a request; return status and JSON, or text."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        if identity is not None:
            context.load_cert_chain(identity.certificate, identity.key)
        with contextlib.closing(
            http.client.HTTPSConnection(address, self.listeners.device_port, context=context)
        ) as connection:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            content = answer.read()
        try:
            return answer.status, json.loads(content)
        except ValueError:
            return answer.status, content.decode()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Listeners that serve."""
    made = Edge(tmp_path_factory.mktemp("edge"), Clock())
    made.listeners.start()
    yield made
    made.listeners.stop()
    made.rows.close()


@pytest.fixture
def site(running: Edge) -> Edge:
    """The listeners with no devices, at the beginning of time."""
    running.things.devices.clear()
    running.things.policies.clear()
    running.clock.now = Clock().now
    return running


def candidates(*names: str) -> bytes:
    """Return the body of ResolveComponentCandidates."""
    return json.dumps({"componentCandidates": [{"componentName": name} for name in names]}).encode()


def arn(component: str) -> str:
    """Return the ARN of a component version as a segment of a path."""
    found = f"arn:aws:greengrass:eu-west-1:123456789012:components:{component}:versions:1.0.0"
    return urllib.parse.quote(found, safe="")


BASE = "/greengrass/v2"
GROUPS = f"{BASE}/coreDevices/press-07/thingGroups"
CREDENTIALS = "/role-aliases/DeviceRole/credentials"


def test_groups(site: Edge) -> None:
    """A device is told its groups and what is above them."""
    status, answer = site.ask(site.add("press-07"), "GET", GROUPS)
    assert (status, answer) == (
        200,
        {
            "thingGroups": [
                {
                    "thingGroupName": "line",
                    "thingGroupArn": cloud_doubles.group_arn("line"),
                    "rootToParentThingGroups": [
                        {
                            "thingGroupName": "plant",
                            "thingGroupArn": cloud_doubles.group_arn("plant"),
                        }
                    ],
                }
            ]
        },
    )


def test_operations(site: Edge) -> None:
    """What a device may ask goes to Greengrass, names with slashes whole."""
    identity = site.add("press-07")
    path = f"{BASE}/resolveComponentCandidates"
    assert site.ask(identity, "POST", path, candidates(OWN))[1] == {
        "operation": "ResolveComponentCandidates"
    }
    status, answer = site.ask(
        identity, "GET", f"{BASE}/components/{arn(OWN)}/artifacts/a/b%2Fc.zip"
    )
    assert (status, answer["artifactName"]) == (200, "a/b/c.zip")
    assert answer["operation"] == "GetComponentVersionArtifact"


REQUESTS = [
    pytest.param("GET", GROUPS, None, id="groups"),
    pytest.param("POST", f"{BASE}/resolveComponentCandidates", candidates(OWN), id="resolve"),
    pytest.param("GET", f"{BASE}/components/{arn(OWN)}/artifacts/a", None, id="artifact"),
    pytest.param(
        "GET", f"{BASE}/coreDevices/press-07/deployments/d1/configuration", None, id="document"
    ),
    pytest.param("GET", CREDENTIALS, None, id="credentials"),
]


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_allowed(site: Edge, method: str, path: str, body: bytes | None) -> None:
    """The device itself gets each of these."""
    assert site.ask(site.add("press-07"), method, path, body)[0] == 200


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_no_certificate(site: Edge, method: str, path: str, body: bytes | None) -> None:
    """Without a certificate nothing is served but S3."""
    site.add("press-07")
    status, answer = site.ask(None, method, path, body)
    assert (status, answer["__type"]) == (403, "AccessDeniedException")


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_no_policy(site: Edge, method: str, path: str, body: bytes | None) -> None:
    """A certificate without a policy is served nothing, and told which action is missing."""
    status, answer = site.ask(site.add("press-07", {"Statement": []}), method, path, body)
    assert status == 403
    assert "no policy of its certificate allows" in answer["message"]


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS[:-1])
def test_another_device(site: Edge, method: str, path: str, body: bytes | None) -> None:
    """Another device gets nothing of this one's."""
    assert site.ask(site.add("press-08"), method, path, body)[0] == 403


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_cut_off(site: Edge, method: str, path: str, body: bytes | None) -> None:
    """A device whose certificate ended is refused in the connection it still has."""
    identity = site.add("press-07")
    context = identity.context(site.authority.certificate)
    with contextlib.closing(
        http.client.HTTPSConnection("127.0.0.1", site.listeners.device_port, context=context)
    ) as connection:
        for expected in (200, 403):
            connection.request(method, path, body)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == expected
            site.things.devices.clear()


def test_several_candidates(site: Edge) -> None:
    """One candidate that is not deployed to the device refuses the whole request."""
    body = candidates(OWN, "com.example.Other")
    status, answer = site.ask(
        site.add("press-07"), "POST", f"{BASE}/resolveComponentCandidates", body
    )
    assert (status, "com.example.Other" in answer["message"]) == (403, True)


@pytest.mark.parametrize(
    "body", [b"", b"garbage", b"[]", b'{"componentCandidates": 7}', b'{"componentCandidates": [7]}']
)
def test_broken_bodies(site: Edge, body: bytes) -> None:
    """A body that is no proper request is left to the operation, which refuses it by its rules."""
    status, answer = site.ask(
        site.add("press-07"), "POST", f"{BASE}/resolveComponentCandidates", body
    )
    assert (status, answer["operation"]) == (200, "ResolveComponentCandidates")


def test_large_document(site: Edge) -> None:
    """The document of a large deployment is read by URL, whole, without a certificate."""
    identity = site.add("press-07")
    path = f"{BASE}/coreDevices/press-07/deployments/d1/configuration"
    status, answer = site.ask(identity, "GET", f"{path}?s3EndpointType=REGIONAL")
    assert status == 200
    assert answer["integrityCheck"] == {
        "algorithm": "SHA-256",
        "digest": base64.b64encode(hashlib.sha256(DOCUMENT).digest()).decode(),
    }
    url = urllib.parse.urlsplit(answer["preSignedUrl"])
    target = f"{url.path}?{url.query}"
    assert url.netloc == f"127.0.0.1:{site.listeners.device_port}"
    assert site.ask(None, "GET", target) == (200, json.loads(DOCUMENT))
    for changed in (target.replace("d1", "d2"), target[:-1] + "!", url.path, target + "%C3%BC"):
        assert site.ask(None, "GET", changed)[0] == 403
    assert site.ask(identity, "GET", path.replace("d1", "d2"))[0] == 404


def test_links_end() -> None:
    """A link holds for its seconds, and only as it was signed."""
    clock = Clock()
    made = links.Links(now=clock)
    url = urllib.parse.urlsplit(made.sign("https://10.0.0.1:8443", "/a b", 60))
    assert url.path == "/a%20b"

    def request(query: str) -> Request:
        return Request({"RAW_URI": url.path, "QUERY_STRING": query, "REQUEST_METHOD": "GET"})

    assert made.valid(request(url.query))
    later = url.query.replace(str(int(clock.now) + 60), str(int(clock.now) + 600))
    assert not made.valid(request(later))
    assert not links.Links(now=clock).valid(request(url.query))
    clock.now += 60
    assert not made.valid(request(url.query))


def test_credentials(site: Edge) -> None:
    """Credentials belong to the thing and the alias's role, and end when the alias says so."""
    status, answer = site.ask(
        site.add("press-07"), "GET", CREDENTIALS, headers={"x-amzn-iot-thingname": "press-07"}
    )
    given = answer["credentials"]
    assert status == 200
    assert set(given) == {"accessKeyId", "secretAccessKey", "sessionToken", "expiration"}
    assert given["expiration"] == "2027-01-15T09:00:00Z"
    session = site.sessions.find(given["accessKeyId"])
    assert session is not None
    assert (session.thing, session.role) == ("press-07", ROLE)
    assert session.secret_access_key == given["secretAccessKey"]
    site.clock.now += 3600
    assert site.sessions.find(given["accessKeyId"]) is None


@pytest.mark.parametrize(
    ("seconds", "valid"),
    [
        pytest.param(900, 900, id="shortest"),
        pytest.param(43_200, 43_200, id="longest"),
        pytest.param(1, 900, id="too short"),
        pytest.param(86_400, 43_200, id="too long"),
    ],
)
def test_credential_duration(site: Edge, seconds: int, valid: int) -> None:
    """Credentials last as long as the role alias says, within the bounds of IoT Core."""
    site.things.aliases["DeviceRole"] = ports.RoleAlias(ROLE, seconds)
    given = site.ask(site.add("press-07"), "GET", CREDENTIALS)[1]["credentials"]
    session = site.sessions.find(given["accessKeyId"])
    assert session is not None
    assert session.expires == site.clock.now + valid
    ends = dt.datetime.fromtimestamp(session.expires, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert given["expiration"] == ends


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        pytest.param("/role-aliases/Unknown/credentials", {}, 404, id="unknown alias"),
        pytest.param(CREDENTIALS, {"x-amzn-iot-thingname": "press-08"}, 403, id="another's name"),
        pytest.param("/role-aliases/DeviceRole", {}, 404, id="no such path"),
        pytest.param(f"{BASE}/components", {}, 404, id="not for devices"),
    ],
)
def test_refusals(site: Edge, path: str, headers: dict[str, str], status: int) -> None:
    """What does not exist, or is not the device's, is refused."""
    assert site.ask(site.add("press-07"), "GET", path, headers=headers)[0] == status


@pytest.mark.parametrize(
    "host",
    [
        "bucket.s3.eu-west-1.amazonaws.com",
        "s3.eu-west-1.amazonaws.com",
        "a.b.s3.eu-west-1.amazonaws.com:8443",
    ],
)
def test_s3_hosts(site: Edge, host: str) -> None:
    """What names S3 in its host goes there, whatever its path."""
    assert site.ask(None, "GET", GROUPS, headers={"Host": host}) == (
        200,
        {"s3": host, "path": GROUPS},
    )


def test_s3_paths(site: Edge) -> None:
    """What has no other route goes to S3, which checks for itself who asks."""
    assert site.ask(None, "GET", "/bucket/key")[1]["path"] == "/bucket/key"


@pytest.mark.parametrize("where", ["header", "query", "both", "older query"])
@pytest.mark.parametrize("ended", ["certificate", "policy"])
def test_s3_after_the_end(site: Edge, where: str, ended: str) -> None:
    """Credentials end with the certificate they were given for, before S3 looks at them."""
    identity = site.add("press-07")
    key = site.ask(identity, "GET", CREDENTIALS)[1]["credentials"]["accessKeyId"]
    scope = f"{key}/20270115/eu-west-1/s3/aws4_request"
    headers, query = {}, f"?AWSAccessKeyId={key}&Signature=0&Expires=1893456000"
    if where in {"header", "both"}:
        shown = scope if where == "header" else "AKIAOTHER/1/2/s3/aws4_request"
        headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={shown}, Signature=0"
    if where != "older query":
        query = ""
    if where in {"query", "both"}:
        query = "?X-Amz-Credential=" + urllib.parse.quote(scope, safe="")
    assert site.ask(None, "GET", f"/bucket/key{query}", headers=headers)[0] == 200
    if ended == "certificate":
        site.things.devices.clear()
    else:
        site.things.policies["press-07"] = ()
    status, answer = site.ask(None, "GET", f"/bucket/key{query}", headers=headers)
    assert (status, "<Code>ExpiredToken</Code>" in answer) == (403, True)


def test_foreign_certificate(site: Edge, tmp_path: Path) -> None:
    """A certificate of another authority does not even finish the handshake."""
    (tmp_path / "foreign").mkdir()
    other = authority.Authority(settings=settings.Settings(state=tmp_path / "foreign"))
    identity = devices.make_identity(other, tmp_path, "press-07")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        site.ask(identity, "GET", "/bucket/key")


def test_slow_handshake(site: Edge) -> None:
    """A client that never finishes its handshake keeps nobody waiting."""
    with socket.create_connection(("127.0.0.1", site.listeners.device_port)) as slow:
        slow.sendall(b"\x16\x03\x01")
        assert site.ask(None, "GET", "/bucket/key")[0] == 200


def test_devices_take_turns(site: Edge) -> None:
    """Of many devices that ask at once few are worked on at a time, and S3 waits for none."""
    identity = site.add("press-07")
    path = f"{BASE}/resolveComponentCandidates"
    site.greengrass.open.clear()
    site.greengrass.most = 0
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        try:
            asked = [
                pool.submit(site.ask, identity, "POST", path, candidates(OWN)) for _ in range(8)
            ]
            devices.until(lambda: len(site.greengrass.inside) == listeners.AT_ONCE, "some came in")
            assert site.ask(identity, "GET", "/bucket/key")[0] == 200
        finally:
            site.greengrass.open.set()
        assert {each.result()[0] for each in asked} == {200}
    assert site.greengrass.most == listeners.AT_ONCE


def test_slow_bodies(site: Edge) -> None:
    """Devices that never send the whole of their request take nobody's turn."""
    identity = site.add("press-07")
    path = f"{BASE}/resolveComponentCandidates"
    context = ssl.create_default_context(cafile=str(site.authority.certificate))
    context.load_cert_chain(identity.certificate, identity.key)
    with contextlib.ExitStack() as stack:
        for _ in range(listeners.AT_ONCE + 1):
            plain = socket.create_connection(("127.0.0.1", site.listeners.device_port))
            slow = stack.enter_context(context.wrap_socket(plain, server_hostname="127.0.0.1"))
            slow.sendall(f"POST {path} HTTP/1.1\r\nContent-Length: 9\r\n\r\n{{".encode())
        assert site.ask(identity, "POST", path, candidates(OWN))[0] == 200


def test_several_addresses(tmp_path: Path) -> None:
    """All device addresses share one port; one of them may not exist yet."""
    made = Edge(tmp_path, Clock(), "127.0.0.1", "127.0.0.2", "192.0.2.77")
    made.listeners.start()
    try:
        for address in ("127.0.0.1", "127.0.0.2"):
            assert made.ask(None, "GET", "/bucket/key", address=address)[0] == 200
    finally:
        made.listeners.stop()
        made.rows.close()


def test_port_taken(site: Edge, tmp_path: Path) -> None:
    """A port that is taken is named with the option that changes it, and nothing stays open."""
    chosen = settings.Settings(state=tmp_path, device_port=0, https_port=site.listeners.device_port)
    with pytest.raises(errors.SettingsError, match=rf"{site.listeners.device_port}.*--https-port"):
        edge.Listeners(
            settings=chosen,
            authority=site.authority,
            things=site.things,
            sessions=site.sessions,
            greengrass=Greengrass(),
            s3=lambda request: Response(),
            database=site.rows,
        )


def test_link_lifetime() -> None:
    """Documents stay readable long enough for a device that asks every minute."""
    assert data_plane.LINK_SECONDS >= 600
