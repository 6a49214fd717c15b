"""Platforms that wheels are gathered for, by the key that names them: `cp311-x86_64`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from verge.fleet.errors import FleetError

_KEY = re.compile(r"cp3(\d{1,2})-(x86_64|aarch64)")
_OLDEST_GLIBC = {"x86_64": 5, "aarch64": 17}
_NEWEST_GLIBC = 28


@dataclass(frozen=True)
class Platform:
    """A Python version and an architecture."""

    key: str
    python: str
    """As in `3.11`."""
    architecture: str

    @classmethod
    def parse(cls, key: str) -> Platform:
        """Return the platform of a key."""
        match = _KEY.fullmatch(key)
        if not match:
            raise FleetError(
                f"cannot gather wheels for {key!r}: a platform is named as in cp311-x86_64",
                "set device_python and device_architecture (x86_64 or aarch64) in the inventory",
            )
        return cls(key, f"3.{match[1]}", match[2])

    @property
    def uv_name(self) -> str:
        """What uv calls it."""
        return f"{self.architecture}-manylinux_2_{_NEWEST_GLIBC}"

    @property
    def pip_options(self) -> list[str]:
        """The options that make pip choose wheels for it: glibc 2.28 and older."""
        digits = self.python.replace(".", "")
        options = ["--implementation", "cp", "--python-version", digits]
        for abi in (f"cp{digits}", "abi3", "none"):
            options += ["--abi", abi]
        oldest = _OLDEST_GLIBC[self.architecture]
        tags = [f"manylinux_2_{minor}" for minor in range(_NEWEST_GLIBC, oldest - 1, -1)]
        for tag in (*tags, "manylinux2014"):
            options += ["--platform", f"{tag}_{self.architecture}"]
        return options


def key_of(python: str, architecture: str) -> str:
    """Return the key of a Python version (`3.11`) on an architecture (`aarch64`, `arm64`)."""
    names = {"amd64": "x86_64", "arm64": "aarch64"}
    return f"cp{python.replace('.', '')}-{names.get(architecture, architecture)}"
