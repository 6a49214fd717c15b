"""Makes the component's sources and the tests' own support importable."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS.parent / "src"), str(TESTS)]

if TYPE_CHECKING:
    import captures


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[captures.Place]":
    """A device's pictures and results, and S3 behind a network that can be cut."""
    import captures

    with captures.running_place(tmp_path) as running:
        for name, value in captures.CREDENTIALS.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", running.network.url)
        running.make_bucket()
        yield running
