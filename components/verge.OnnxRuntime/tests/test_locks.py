"""The locks hold what dependents import, on every platform alike."""

import re
from pathlib import Path

import pytest
from offline_venv import locks

COMPONENT = Path(__file__).parents[1]
LOCKS = sorted((COMPONENT / "locks").glob("*.txt"))


def wanted() -> set[str]:
    lines = (COMPONENT / "requirements.in").read_text(encoding="utf-8").splitlines()
    names = (re.match(r"[A-Za-z0-9-]+", line) for line in lines if not line.startswith("#"))
    return {match[0].lower() for match in names if match}


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_every_requirement_is_locked(path: Path) -> None:
    """What requirements.in asks for stands in the lock of each platform."""
    pins = {pin.name for pin in locks.read_lock(path)}
    assert wanted() <= pins
    assert {"onnxruntime", "numpy", "opencv-python-headless", "pillow"} <= pins


def test_platforms_have_the_same_versions() -> None:
    """An x86-64 press and an ARM gateway run the same versions."""
    versions = [{(pin.name, pin.version) for pin in locks.read_lock(path)} for path in LOCKS]
    assert len(versions) >= 2
    assert all(other == versions[0] for other in versions)
