"""The packages of AWS's nucleus Lite as the device is asked for them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.unit.roles import loading

greengrass = loading.load("greengrass", "filter_plugins", "greengrass")


def test_packages_of_several_folders_are_one_set(tmp_path: Path) -> None:
    """Each package goes by its name, wherever it lies, with the hash of its bytes."""
    (tmp_path / "libraries").mkdir()
    paths = [tmp_path / "lite.deb", tmp_path / "libraries" / "curl.deb"]
    for path in paths:
        path.write_bytes(b"\xff" + path.name.encode())
    assert greengrass.greengrass_packages([str(path) for path in paths]) == [
        {"file": path.name, "sha256": hashlib.sha256(b"\xff" + path.name.encode()).hexdigest()}
        for path in paths
    ]
