"""Find the wheels of a lock in the wheelhouse, before pip is asked."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from offline_venv.errors import InstallError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from offline_venv.locks import Pin

_REMEDY = "run `./inv wheels` and provision the device again"


def check_wheelhouse(wheelhouse: Path, pins: Iterable[Pin], key: str) -> None:
    """Return if every pin has a wheel with an allowed hash. Raises InstallError otherwise."""
    wheels = sorted(wheelhouse.glob("*.whl")) if wheelhouse.is_dir() else []
    if not wheels:
        raise InstallError(
            f"no wheels were preloaded at {wheelhouse}; provision the device (role `wheelhouse`), "
            "or set `indexUrl` in this component's configuration to let it use a package index"
        )
    for pin in pins:
        _check_pin(wheelhouse, wheels, pin, key)


def _check_pin(wheelhouse: Path, wheels: list[Path], pin: Pin, key: str) -> None:
    wanted = (_normalise(pin.name), pin.version)
    candidates = [wheel for wheel in wheels if _identity(wheel) == wanted]
    if not candidates:
        raise InstallError(
            f"the wheelhouse {wheelhouse} has no wheel of {pin.name} {pin.version} for {key}; "
            + _REMEDY
        )
    if not any(_sha256(wheel) in pin.hashes for wheel in candidates):
        raise InstallError(
            f"{candidates[0]} is not the file that the lock names (its SHA-256 differs); " + _REMEDY
        )


def _identity(wheel: Path) -> tuple[str, str]:
    """Return name and version of a wheel file name (PEP 427)."""
    name, _, rest = wheel.name.partition("-")
    return _normalise(name), rest.partition("-")[0]


def _normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
