"""Greengrass between stand-ins of the other parts, served to an unmodified boto3."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import exceptions
from botocore.config import Config

from tests.support import cloud_doubles
from verge.cloud import database, greengrass, settings
from verge.cloud.http import application, server

PATIENCE = 20.0
LOOK = 0.005


class Clock:
    """Seconds since the epoch as the tests set them."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Cloud:
    """A Greengrass service with all that it stands on; it can end and begin again."""

    def __init__(self, directory: Path) -> None:
        self.settings = settings.Settings(state=directory)
        self.things = cloud_doubles.Registry()
        self.objects = cloud_doubles.Objects()
        self.jobs = cloud_doubles.Jobs()
        self.shadows = cloud_doubles.Shadows()
        self.events = cloud_doubles.Events()
        self.clock = Clock()
        self.database = database.Database(self.settings.database, [greengrass.SCHEMA])
        self.service = self.make()
        self._server = server.Server(
            "127.0.0.1",
            0,
            application.Application(
                application.by_route(self.service.routes(), application.unknown)
            ),
        )
        self._server.start()
        self.client: Any = boto3.client(
            "greengrassv2",
            endpoint_url=f"http://127.0.0.1:{self._server.port}",
            region_name=self.settings.region,
            aws_access_key_id="test",
            aws_secret_access_key="test-of-some-length",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def make(self) -> greengrass.Service:
        """Make a service on the same state, as a new process would; it is not started."""
        return greengrass.Service(
            database=self.database,
            things=self.things,
            objects=self.objects,
            jobs=self.jobs,
            shadows=self.shadows,
            events=self.events,
            settings=self.settings,
            clock=self.clock,
        )

    def close(self) -> None:
        """End all of it."""
        self._server.stop()
        self.client.close()
        self.service.stop()
        self.database.close()

    def publish(
        self,
        name: str,
        version: str = "1.0.0",
        *,
        artifacts: Mapping[str, bytes] | None = None,
        dependencies: Mapping[str, str] | None = None,
        platform: Mapping[str, str] | None = None,
    ) -> str:
        """Register a version, wait until it is settled and return its ARN."""
        uris = [
            self.objects.put("bucket", f"{name}/{version}/{file}", content)
            for file, content in (artifacts or {}).items()
        ]
        text = recipe(
            name, version, artifacts=uris, dependencies=dependencies or {}, platform=platform
        )
        made = self.client.create_component_version(inlineRecipe=text)
        arn = str(made["arn"])
        self.settle(arn)
        return arn

    def settle(self, arn: str) -> Mapping[str, Any]:
        """Wait until the registration of a version has ended; return its status."""
        end = time.monotonic() + PATIENCE
        while True:
            status: Mapping[str, Any] = self.client.describe_component(arn=arn)["status"]
            if status["componentState"] != "REQUESTED" or time.monotonic() > end:
                return status
            time.sleep(LOOK)

    def deploy(self, target: str, *components: str, **members: Any) -> dict[str, Any]:
        """Create a deployment of components in version 1.0.0, or NAME=VERSION."""
        named = (text.partition("=") for text in components)
        wanted = {name: {"componentVersion": version or "1.0.0"} for name, _, version in named}
        made: dict[str, Any] = self.client.create_deployment(
            targetArn=target, components=wanted, **members
        )
        return made

    def report(self, thing: str, **members: Any) -> None:
        """Hand over a status message of a device, complete unless said otherwise."""
        self.service.report(thing, {**status(thing), **members})


def refused(
    code: str,
) -> contextlib.AbstractContextManager[pytest.ExceptionInfo[exceptions.ClientError]]:
    """Expect a refusal with this code."""
    return pytest.raises(exceptions.ClientError, match=code)


def recipe(
    name: str,
    version: str = "1.0.0",
    *,
    artifacts: list[str] | None = None,
    dependencies: Mapping[str, str] | None = None,
    platform: Mapping[str, str] | None = None,
) -> bytes:
    """Return a recipe as JSON."""
    document: dict[str, Any] = {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": name,
        "ComponentVersion": version,
        "ComponentPublisher": "tests",
        "Manifests": [
            {
                "Platform": dict(platform or {"os": "linux", "runtime": "*"}),
                "Lifecycle": {"run": "sleep 1000"},
                "Artifacts": [{"Uri": uri} for uri in artifacts or []],
            }
        ],
    }
    if dependencies:
        document["ComponentDependencies"] = {
            needed: {"VersionRequirement": wanted} for needed, wanted in dependencies.items()
        }
    return json.dumps(document).encode()


def status(thing: str) -> dict[str, Any]:
    """Return a complete status message without components."""
    return {
        "ggcVersion": "2.18.0",
        "platform": "linux",
        "architecture": "amd64",
        "thing": thing,
        "overallDeviceStatus": "HEALTHY",
        "sequenceNumber": 1,
        "timestamp": 1_700_000_000_000,
        "messageType": "COMPLETE",
        "trigger": "NUCLEUS_LAUNCH",
        "components": [],
    }


def component(name: str, state: str = "RUNNING", **members: Any) -> dict[str, Any]:
    """Return an entry of a status message."""
    return {
        "componentName": name,
        "version": "1.0.0",
        "status": state,
        "isRoot": True,
        "fleetConfigArns": [],
        "componentStatusDetails": None,
        **members,
    }


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """A started service."""
    made = Cloud(tmp_path)
    made.service.start()
    yield made
    made.close()
