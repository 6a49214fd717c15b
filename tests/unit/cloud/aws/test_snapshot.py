"""A snapshot stands for the journal before it, in every service."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from werkzeug.wrappers import Request, Response

from tests.support import aws_services
from verge.cloud import aws, database, settings
from verge.cloud.http import application, server

pytestmark = pytest.mark.timeout(180)  # every service of moto is loaded once


class Plant:
    """Backends, one after the other, behind one port."""

    def __init__(self, state: Path) -> None:
        self._options = settings.Settings(state=state)
        self.rows = database.Database(self._options.database, [aws.SCHEMA])
        self.backend: aws.Backend | None = None
        self.server = server.Server("127.0.0.1", 0, application.Application(self._handle))
        self.server.start()

    def begin(self) -> int:
        """Begin anew with the same database; return how many requests were replayed."""
        self.backend = aws.Backend(database=self.rows, settings=self._options, snapshot_every=1)
        return self.backend.replay()

    def _handle(self, request: Request) -> Response:
        assert self.backend is not None
        return self.backend.handle(request)

    @functools.cache  # noqa: B019  # lives as long as the tests
    def client(self, service: str) -> Any:
        """Return a boto3 client."""
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{self.server.port}",
            region_name="eu-west-1",
            aws_access_key_id="AKIAMADEUP",
            aws_secret_access_key="any-secret",
        )

    def observe(self) -> dict[str, Any]:
        """Return what every service shows."""
        return {
            name: aws_services.plain(found(self.client))
            for name, (_, found) in aws_services.SERVICES.items()
        }


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    """What every service showed before and after a restart from a snapshot alone."""
    plant = Plant(tmp_path_factory.mktemp("state"))
    plant.begin()
    for create, _ in aws_services.SERVICES.values():
        create(plant.client)
    before = plant.observe()
    assert plant.begin() == 0
    after = plant.observe()
    yield before, after
    plant.server.stop()
    plant.rows.close()


@pytest.mark.parametrize("service", aws_services.SERVICES)
def test_a_snapshot_has_all_of_a_service(observed: tuple[Any, Any], service: str) -> None:
    """Restored from a snapshot, a service shows what it showed."""
    before, after = observed
    assert before[service]
    assert after[service] == before[service]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE aws_snapshot SET content = substr(content, 1, 100)",
        "UPDATE aws_snapshot SET content = 'none'",
        "UPDATE aws_snapshot SET made_by = 'an older version'",
        "DELETE FROM aws_snapshot",
    ],
)
def test_without_a_snapshot_the_journal_does(tmp_path: Path, damage: str) -> None:
    """A snapshot that is damaged, missing or from another version is passed over."""
    plant = Plant(tmp_path)
    plant.begin()
    made = [plant.client("iot").create_thing(thingName=f"t{n}")["thingId"] for n in range(3)]
    plant.rows.execute(damage)
    assert plant.begin() == 3
    found = [plant.client("iot").describe_thing(thingName=f"t{n}")["thingId"] for n in range(3)]
    plant.server.stop()
    plant.rows.close()
    assert found == made


def test_settings_of_moto_itself_outlive_snapshots(tmp_path: Path) -> None:
    """What was told to moto's own API is in no snapshot, so the journal is repeated."""
    plant = Plant(tmp_path)
    plant.begin()
    assert plant.backend is not None
    body = b'{"stepfunctions": {"execute_state_machine": false}}'
    plant.backend.call("POST", "/moto-api/config", (), body)
    plant.client("iot").create_thing(thingName="press-07")
    assert plant.begin() == 2
    assert plant.client("iot").describe_thing(thingName="press-07")["thingName"] == "press-07"
    plant.server.stop()
    plant.rows.close()
