"""What the suite sent and received, held against the coverage file. It runs last by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.cloud import account as accounts
from tests.contract.cloud import coverage
from tests.support import devices


@accounts.local_only("parts of the suite do not run there")
@devices.needs_mosquitto
def test_full_members_were_exercised(
    account: accounts.Account, request: pytest.FixtureRequest
) -> None:
    """Every member that counts as covered was in a request that succeeded, or in its answer."""
    ran = {item.path.name for item in request.session.items}
    if missing := {path.name for path in Path(__file__).parent.glob("test_*.py")} - ran:
        pytest.skip(f"only a part of the suite runs: not {', '.join(sorted(missing))}")
    claimed = {
        (operation, side, path)
        for operation, entry in coverage.read().items()
        for side in coverage.SIDES
        for path, text in (entry[side] or {}).items()
        if text == coverage.FULL
    }
    missed = sorted(" ".join(each) for each in claimed - account.exercised)
    assert not missed, "\n".join(missed)
