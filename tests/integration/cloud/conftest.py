"""One local cloud for the tests that leave it running."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import running_cloud


@pytest.fixture(scope="package")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running_cloud.RunningCloud]:
    """A cloud that all tests share: give things and buckets names of your own."""
    with running_cloud.running(tmp_path_factory.mktemp("cloud") / "state") as running:
        yield running
