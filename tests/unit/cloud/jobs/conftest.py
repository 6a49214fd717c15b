"""A jobs service in memory of the things `press-1` to `press-3` in the group `line`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cloud.jobs import plant


@pytest.fixture
def line(tmp_path: Path) -> Iterator[plant.Plant]:
    """Yield the engine with its doubles; its thread does not run, the test keeps time."""
    found = plant.Plant(tmp_path / "cloud.db")
    yield found
    found.database.close()
