"""Every service that a fleet repository needs is found after SIGKILL as it was before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import aws_services, running_cloud

pytestmark = pytest.mark.timeout(180)  # every service of moto is loaded once


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    """What every service showed before the process was killed and after it was started again."""
    state = tmp_path_factory.mktemp("cloud") / "state"
    with running_cloud.running(state) as cloud:
        for create, _ in aws_services.SERVICES.values():
            create(cloud.client)
        before = {
            name: aws_services.plain(found(cloud.client))
            for name, (_, found) in aws_services.SERVICES.items()
        }
        cloud.kill()
        cloud.start()
        after = {
            name: aws_services.plain(found(cloud.client))
            for name, (_, found) in aws_services.SERVICES.items()
        }
        yield before, after


@pytest.mark.parametrize("service", aws_services.SERVICES)
def test_nothing_acknowledged_is_lost(observed: tuple[Any, Any], service: str) -> None:
    """What was created is there after SIGKILL, with the same ids and dates."""
    before, after = observed
    assert before[service]
    assert after[service] == before[service]
