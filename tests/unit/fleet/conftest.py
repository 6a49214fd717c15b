"""What tests of the tooling share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fleet import samples
from verge.fleet import project


@pytest.fixture
def where(tmp_path: Path) -> project.Project:
    """Return an empty checkout."""
    return samples.make_project(tmp_path / "checkout")
