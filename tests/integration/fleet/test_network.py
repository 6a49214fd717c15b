"""The script that makes the network of the simulated devices, with the real podman."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "roles/edge_device/files/make_network.sh"

pytestmark = pytest.mark.skipif(
    shutil.which("podman") is None or os.geteuid() != 0,
    reason="needs podman as root; `./inv up` installs it",
)


@pytest.fixture
def name() -> Iterator[str]:
    """Return a name that no network has, and remove the network that gets it."""
    chosen = f"verge-try-{uuid.uuid4().hex[:8]}"
    yield chosen
    subprocess.run(["podman", "network", "rm", chosen], capture_output=True, check=False)


def make(name: str, folder: Path) -> str:
    """Run the script and return what it says."""
    arguments = [name, "", f"verge.checkout={folder}", str(folder / "lock")]
    done = subprocess.run(
        ["sh", str(SCRIPT), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_what_a_killed_run_left_is_no_network(name: str, tmp_path: Path) -> None:
    """A trial network, which has a way out, is replaced by the devices' own; that one stays."""
    subprocess.run(["podman", "network", "create", name], capture_output=True, check=True)
    assert f"made {name} on " in make(name, tmp_path)
    shown = subprocess.run(
        ["podman", "network", "inspect", name], capture_output=True, text=True, check=True
    )
    [network] = json.loads(shown.stdout)
    assert network["internal"]
    assert network["labels"] == {"verge.checkout": str(tmp_path)}
    assert network["subnets"][0]["gateway"].endswith(".1")
    assert make(name, tmp_path) == ""
