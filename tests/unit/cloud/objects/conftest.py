"""S3 as devices see it: signatures are checked and the role's policies decide."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
from botocore import config as botocore_config

from verge.cloud import aws, database, objects, ports, settings
from verge.cloud.http import application, server

ROLE = "arn:aws:iam::123456789012:role/tokens"
JSON = [("Content-Type", "application/json")]
FORM = [("Content-Type", "application/x-www-form-urlencoded")]


class CoreDevices:
    """Knows of no device but what a test tells it."""

    def __init__(self) -> None:
        self.readable: dict[str, bool | None] = {}

    def report(self, thing: str, message: ports.Document) -> None:
        """Nothing reports here."""

    def may_read(self, thing: str, bucket: str, key: str) -> bool | None:
        """As the test says."""
        return self.readable.get(key)

    def may_resolve(self, thing: str, component: str) -> bool:
        """Nothing is resolved here."""
        return False


class Plant:
    """Storage with a port for tools and one for devices, in this process."""

    def __init__(self, state: Path) -> None:
        options = settings.Settings(state=state)
        self.database = database.Database(options.database, [aws.SCHEMA, objects.SCHEMA])
        self.backend = aws.Backend(database=self.database, settings=options)
        self.sessions = aws.Sessions(database=self.database)
        self.storage = objects.Storage(
            database=self.database, backend=self.backend, sessions=self.sessions, settings=options
        )
        self.core_devices = CoreDevices()
        service = self.storage.service(self.core_devices)
        self.tools = server.Server("127.0.0.1", 0, application.Application(service.handle))
        self.devices = server.Server("127.0.0.1", 0, application.Application(service.handle_device))
        self.tools.start()
        self.devices.start()
        self._clients: list[Any] = []

    def tool(self, **options: Any) -> Any:
        """Return S3 with made-up credentials on the port for tools."""
        return self._client(self.tools.port, "AKIAMADEUP", "any-secret", None, **options)

    def device(self, session: ports.Session, **options: Any) -> Any:
        """Return S3 with a device's credentials on the port for devices."""
        return self._client(
            self.devices.port,
            session.access_key_id,
            session.secret_access_key,
            session.session_token,
            **options,
        )

    def _client(self, port: int, key: str, secret: str, token: str | None, **options: Any) -> Any:
        client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="eu-west-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=botocore_config.Config(retries={"total_max_attempts": 1}, **options),
        )
        self._clients.append(client)
        return client

    def allow(self, *statements: dict[str, Any]) -> ports.Session:
        """Give the role these statements; return credentials for a device in it."""
        self.iam("CreateRole", RoleName="tokens", AssumeRolePolicyDocument="{}")
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.iam("PutRolePolicy", RoleName="tokens", PolicyName="p", PolicyDocument=document)
        return self.sessions.issue(role=ROLE, thing="press-07", seconds=3600)

    def iam(self, action: str, **members: str) -> None:
        """Make a request to IAM."""
        body = urlencode({"Action": action, "Version": "2010-05-08", **members}).encode()
        self.backend.call("POST", "/", FORM, body, service="iam")

    def close(self) -> None:
        """Stop everything."""
        for client in self._clients:
            client.close()
        self.tools.stop()
        self.devices.stop()
        self.database.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    made = Plant(tmp_path_factory.mktemp("state"))
    made.tool().create_bucket(
        Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    yield made
    made.close()


@pytest.fixture
def plant(shared: Plant) -> Plant:
    """The plant with a bucket "artifacts" that holds "a" and "b"."""
    shared.core_devices.readable.clear()
    for key in ("a", "b"):
        shared.tool().put_object(Bucket="artifacts", Key=key, Body=key.encode())
    return shared
