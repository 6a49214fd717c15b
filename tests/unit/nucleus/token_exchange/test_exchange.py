"""The credentials of the device and the endpoint that components ask."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import https_server
from verge.nucleus import paths, settings
from verge.nucleus.cloud import credentials, errors, sigv4
from verge.nucleus.store import state
from verge.nucleus.token_exchange import exchange

WIRE = Path(__file__).parents[3] / "cases" / "wire"
ANSWER = (WIRE / "credentials_answer.json").read_bytes()
ENDS = 1795294328.0  # 2026-11-21T20:52:08Z
TOKEN = "ABCDEFGHIJKLMNOP"


class Given:
    """Credentials that a test makes come, fail or hang."""

    def __init__(self) -> None:
        self.at_hand: sigv4.Keys | None = sigv4.Keys("ASIA", "secret", "token", ENDS)
        self.error: Exception | None = None
        self.hangs = threading.Event()
        self.hangs.set()

    def present(self) -> sigv4.Keys | None:
        return self.at_hand

    def keys(self) -> sigv4.Keys:
        self.hangs.wait()
        if self.error:
            raise self.error
        assert self.at_hand
        return self.at_hand


class Served:
    """A running endpoint."""

    def __init__(self, given: Given, directory: Path) -> None:
        self.given = given
        configured = settings.Settings(paths.Paths(directory), root_ca_path="/ca.pem")
        self.exchange = exchange.Exchange(configured, given, lambda token: token == TOKEN)

    @property
    def url(self) -> str:
        """What a component is told."""
        installed = state.Installed(
            name="C", version="1.0.0", recipe_text="", dependencies={exchange.COMPONENT: True}
        )
        return self.exchange.environment(installed)["AWS_CONTAINER_CREDENTIALS_FULL_URI"]

    async def ask(self, request: bytes) -> tuple[int, Any]:
        """Send bytes and return status and document of the answer; 0 for none."""
        port = int(self.url.split(":")[2].partition("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        if not answer:
            return 0, None
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)

    async def get(self, token: str = TOKEN, path: str = exchange.PATH) -> tuple[int, Any]:
        """Ask as an SDK does."""
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n\r\n"
        return await self.ask(head.encode())


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """Return an endpoint of this test's own."""
    one = Served(Given(), tmp_path)
    await one.exchange.start()
    yield one
    one.given.hangs.set()
    await one.exchange.stop()


async def test_component_gets_credentials(served: Served) -> None:
    """The members are those that AWS's SDKs read (contract 2.9)."""
    assert served.url.endswith("/2016-11-01/credentialprovider/")
    assert await served.get() == (
        200,
        {
            "AccessKeyId": "ASIA",
            "SecretAccessKey": "secret",
            "Token": "token",
            "Expiration": "2026-11-21T20:52:08Z",
        },
    )


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(b"POST /2016-11-01/credentialprovider/ HTTP/1.1\r\n\r\n", 405, id="method"),
        pytest.param(b"GET /latest/meta-data/ HTTP/1.1\r\n\r\n", 400, id="path"),
        pytest.param(b"GET /2016-11-01/credentialprovider/ HTTP/1.1\r\n\r\n", 403, id="no-token"),
        pytest.param(b"\x00\xff\r\n\r\n", 405, id="garbage"),
        pytest.param(b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", 0, id="endless"),
    ],
)
async def test_what_is_refused(served: Served, request_bytes: bytes, status: int) -> None:
    """Every refusal has the status of the contract and no credentials in it (2.9)."""
    try:
        found, document = await served.ask(request_bytes)
    except ConnectionError:
        found, document = 0, None
    assert found == status
    assert "secret" not in str(document)


async def test_wrong_token_gets_nothing(served: Served) -> None:
    """A token that is nobody's, or of a component without the dependency, is answered with 403."""
    status, document = await served.get("A" * 16)
    assert status == 403
    assert exchange.COMPONENT in document["message"]


async def test_offline_is_said_in_time(served: Served) -> None:
    """Before an SDK gives up it hears that the cloud does not answer; keys at hand serve on."""
    served.given.hangs.clear()
    assert (await served.get())[0] == 200
    served.given.at_hand = None
    status, document = await served.get()
    assert status == 504
    assert "does not answer" in document["message"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.RefusedError("cannot get credentials: no such alias", 404), 404),
        (errors.UnreachableError("cannot reach the cloud"), 500),
    ],
)
async def test_reason_is_passed_on(served: Served, error: Exception, status: int) -> None:
    """What the provider says is what the component hears."""
    served.given.error = error
    assert await served.get() == (status, {"message": str(error)})


def test_only_dependents_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A component without the dependency gets no address; one with it also trusts a stand-in."""
    served = Served(Given(), tmp_path)
    plain = state.Installed(name="C", version="1.0.0", recipe_text="")
    assert served.exchange.environment(plain) == {}
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://127.0.0.1:8443")
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    dependent = state.Installed(
        name="C", version="1.0.0", recipe_text="", dependencies={exchange.COMPONENT: True}
    )
    assert served.exchange.environment(dependent)["AWS_CA_BUNDLE"] == "/ca.pem"


class Provider:
    """The real cache in front of a provider that a test plays."""

    def __init__(self, directory: Path, server: https_server.Server) -> None:
        self.server = server
        self.now = ENDS - 3600
        configured = settings.Settings(
            paths.Paths(directory),
            thing_name="press-01",
            root_ca_path=str(server.certificate),
            cloud=settings.CloudSettings(
                credentials_endpoint=f"127.0.0.1:{server.port}",
                role_alias="Alias",
                certificate=str(server.certificate),
                private_key=str(server.key),
            ),
        )
        self.credentials = credentials.Credentials(configured, lambda: self.now)


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    """Return a provider that gives credentials."""
    with https_server.running(tmp_path, lambda _: https_server.Answer(200, ANSWER)) as server:
        yield Provider(tmp_path, server)


def test_credentials_are_asked_for_once(provider: Provider) -> None:
    """Keys are kept until five minutes before their end."""
    keys = provider.credentials.keys()
    assert (keys.access_key, keys.expires) == ("ASIAEXAMPLE0000000000", ENDS)
    provider.now = ENDS - 301
    assert provider.credentials.keys() is keys
    assert len(provider.server.asked) == 1
    provider.now = ENDS - 299
    assert provider.credentials.keys() is not keys
    asked = provider.server.asked[0]
    assert asked.path == "/role-aliases/Alias/credentials"
    assert asked.headers["x-amzn-iot-thingname"] == "press-01"


def test_old_keys_serve_to_their_end(provider: Provider) -> None:
    """While the provider is away, what is still valid is given."""
    keys = provider.credentials.keys()
    provider.server.answer = lambda _: https_server.Answer(503)
    provider.now = ENDS - 10
    assert provider.credentials.keys() is keys
    provider.now = ENDS + 1
    with pytest.raises(errors.UnreachableError):
        provider.credentials.keys()
    assert provider.credentials.present() is None


@pytest.mark.parametrize(("status", "seconds"), [(403, 120), (503, 60)])
def test_errors_are_remembered_for_a_while(provider: Provider, status: int, seconds: int) -> None:
    """A component in a loop does not ask the cloud in a loop; a new link asks anew."""
    provider.server.answer = lambda _: https_server.Answer(status)
    for _ in range(3):
        with contextlib.suppress(errors.CloudError):
            provider.credentials.keys()
    assert len(provider.server.asked) == 1
    provider.now += seconds
    with contextlib.suppress(errors.CloudError):
        provider.credentials.keys()
    assert len(provider.server.asked) == 2
    provider.server.answer = lambda _: https_server.Answer(200, ANSWER)
    provider.credentials.forget()
    assert provider.credentials.keys()


def test_error_does_not_outlast_a_clock_that_is_set_back(provider: Provider) -> None:
    """An error from before the clock was corrected is forgotten, not kept for the difference."""
    provider.server.answer = lambda _: https_server.Answer(503)
    with pytest.raises(errors.UnreachableError):
        provider.credentials.keys()
    provider.server.answer = lambda _: https_server.Answer(200, ANSWER)
    provider.now -= 86400
    assert provider.credentials.keys()


def test_garbage_is_no_credentials(provider: Provider) -> None:
    """An answer of something in between is told from credentials."""
    for body in (b"<html>", b"{}", b"[]", b'{"credentials": {"expiration": 5}}'):
        provider.server.answer = lambda _, body=body: https_server.Answer(200, body)  # type: ignore[misc]
        provider.credentials.forget()
        with pytest.raises(errors.CloudError):
            provider.credentials.keys()
