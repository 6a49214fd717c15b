"""What the packages of AWS's nucleus Lite are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def greengrass_packages(paths: Sequence[str]) -> list[dict[str, str]]:
    """Return files of the controller as {file, sha256}, each by its name alone."""
    return [
        {"file": Path(path).name, "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()}
        for path in paths
    ]


class FilterModule:
    """The filters of the role."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"greengrass_packages": greengrass_packages}
