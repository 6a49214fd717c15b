from __future__ import annotations

import resource

import pytest

from verge.nucleus.ipc import limits


@pytest.mark.parametrize(("files", "expected"), [(1024, 512), (20_000, 4096), (10, 16)])
def test_connections_leave_files_to_the_nucleus(
    monkeypatch: pytest.MonkeyPatch, files: int, expected: int
) -> None:
    """Connections take at most half of the files that the process may open."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert limits.Limits().connections_here() == expected
