"""One account for the whole suite: starting a cloud costs seconds, an account costs money."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.cloud import account as accounts


@pytest.fixture(scope="session")
def account() -> Iterator[accounts.Account]:
    """The account under test."""
    with accounts.running() as running:
        yield running
