"""Which address of this machine the simulated devices reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from verge.fleet import network, project


def entry(name: str, checkout: Path | str, gateway: str = "10.89.3.1") -> dict[str, Any]:
    """Return a network as podman lists it."""
    return {
        "name": name,
        "labels": {"verge.checkout": str(checkout)},
        "subnets": [{"subnet": "10.89.3.0/24", "gateway": gateway}],
    }


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], None),
        ([("verge-abc-molecule", "here", "10.89.9.1"), ("verge-abc", "here", "10.89.3.1")],
         "10.89.3.1"),
        ([("verge-abc", "elsewhere", "10.89.3.1")], None),
    ],
    ids=["none", "the fleet's before that of tests", "another checkout's"],
)  # fmt: skip
def test_the_gateway_is_that_of_the_checkout(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: list[tuple[str, str, str]],
    expected: str | None,
) -> None:
    """A network belongs to the checkout whose path stands on it."""
    plain = {"name": "podman", "subnets": [{"gateway": "10.88.0.1"}]}
    listed = [plain, *(entry(name, tmp_path / where, gateway) for name, where, gateway in names)]
    monkeypatch.setattr(network, "_networks", lambda: listed)
    assert network.gateway(project.Project(tmp_path / "here")) == expected


def test_a_machine_without_podman_has_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The local cloud then serves loopback alone."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert network.gateway(project.Project(tmp_path)) is None
