"""What a wheelhouse consists of, from its manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
LOCK = "nucleus.txt"


class RefusalError(Exception):
    """The wheelhouse cannot be used; the message says why and what to do."""


def wheelhouse_contents(directory: str) -> dict[str, Any]:
    """Return `files` of a wheelhouse as {file, sha256}: wheels, lock and, last, manifest.

    The wheels' SHA-256 are those of the manifest, not of the files, so that a file that was
    damaged on the controller is found on the device. Where a file is absent or the manifest
    cannot be understood, `refusal` says so; else it is empty. It is a value because Ansible buries
    the message of an exception in a description of the expression.
    """
    try:
        return {"files": _read_files(directory), "refusal": ""}
    except RefusalError as refusal:
        return {"files": [], "refusal": str(refusal)}


def _read_files(directory: str) -> list[dict[str, str]]:
    folder = Path(directory)
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        wheels = [(str(wheel["file"]), str(wheel["sha256"])) for wheel in manifest["wheels"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _refuse(folder, f"its {MANIFEST} cannot be understood ({error})") from None
    files = []
    for name, sha256 in [*wheels, (LOCK, ""), (MANIFEST, "")]:
        path = folder / name
        if path.parent != folder or not path.is_file():
            raise _refuse(folder, f"{name} is missing there")
        digest = sha256 or hashlib.sha256(path.read_bytes()).hexdigest()
        files.append({"file": name, "sha256": digest})
    return files


def _refuse(folder: Path, reason: str) -> RefusalError:
    return RefusalError(f"cannot use the wheelhouse {folder}: {reason}; run `inv wheels`")


class FilterModule:
    """The filters of the role."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"wheelhouse_contents": wheelhouse_contents}
