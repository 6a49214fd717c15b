"""What a wheelhouse consists of, from its manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

MANIFEST = "manifest.json"
LOCK = "nucleus.txt"


def wheelhouse_files(directory: str) -> list[dict[str, str]]:
    """Return the files of a wheelhouse as {file, sha256}: wheels, lock and, last, manifest.

    The wheels' SHA-256 are those of the manifest, not of the files, so that a file that was
    damaged on the controller is found on the device. Raises AnsibleFilterError where a file is
    absent or the manifest cannot be understood.
    """
    folder = Path(directory)
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        wheels = [(str(wheel["file"]), str(wheel["sha256"])) for wheel in manifest["wheels"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _refuse(folder, f"its {MANIFEST} cannot be understood ({error!r})") from None
    files = []
    for name, sha256 in [*wheels, (LOCK, ""), (MANIFEST, "")]:
        path = folder / name
        if path.parent != folder or not path.is_file():
            raise _refuse(folder, f"{name} is missing there")
        digest = sha256 or hashlib.sha256(path.read_bytes()).hexdigest()
        files.append({"file": name, "sha256": digest})
    return files


def _refuse(folder: Path, reason: str) -> Exception:
    error: Exception = AnsibleFilterError(
        f"cannot use the wheelhouse {folder}: {reason}; run `inv wheels`"
    )
    return error


class FilterModule:
    """The filters of the role."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"wheelhouse_files": wheelhouse_files}
