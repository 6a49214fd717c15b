"""Read the lock of a platform: exact versions with the hashes that are allowed."""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offline_venv.errors import InstallError

if TYPE_CHECKING:
    from pathlib import Path

_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Pin:
    """One package at one version, with the SHA-256 of every wheel that may be installed."""

    name: str
    version: str
    hashes: frozenset[str]


def platform_key() -> str:
    """Return the key of this interpreter and machine, such as `cp311-x86_64`."""
    return f"cp{sys.version_info.major}{sys.version_info.minor}-{platform.machine()}"


def choose_lock(directory: Path, key: str) -> Path:
    """Return the lock of the platform. Raises InstallError naming the platforms there are."""
    lock = directory / f"{key}.txt"
    if lock.is_file():
        return lock
    known = ", ".join(sorted(path.stem for path in directory.glob("*.txt"))) or "none"
    raise InstallError(
        f"there is no lock for the platform {key} (there are: {known}); "
        "add the platform to the inventory, run `./inv wheels` and build the component again"
    )


def read_lock(path: Path) -> list[Pin]:
    """Return the pins of a lock. Raises InstallError for a line without version or hash."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [_read_pin(path, line) for line in lines if line]


def _read_pin(path: Path, line: str) -> Pin:
    match = _PIN.match(line)
    hashes = frozenset(_HASH.findall(line))
    if not match or not hashes:
        raise InstallError(f"the lock {path} has a line without version and hash: {line[:80]}")
    return Pin(match[1], match[2], hashes)
