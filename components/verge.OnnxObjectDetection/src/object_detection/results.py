"""Keep what was found, one document per id, so that no picture is ever looked at twice.

`<id>.json` is the result or the rejection, `<id>.jpg` the annotated picture. A document appears
whole or not at all, and after its picture, so it is the mark that an id is done.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PART = ".part"


class ResultStore:
    """The newest `keep` documents in a directory."""

    def __init__(self, directory: Path, keep: int) -> None:
        """Open the directory, creating it if need be. Raises OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.keep = keep
        self._known = self._scan()
        self._prune()

    def find(self, identity: str) -> dict[str, Any] | None:
        """Return the stored document of an id; None if there is none that is whole."""
        if identity not in self._known:
            return None
        try:
            document = json.loads((self.directory / f"{identity}.json").read_bytes())
        except (OSError, ValueError):
            # Removed by hand, or emptied by a power cut: look at the picture again.
            return None
        return document if isinstance(document, dict) else None

    def save_picture(self, identity: str, data: bytes) -> str:
        """Store the annotated picture and return its path."""
        return str(self._write(f"{identity}.jpg", data, durable=False))

    def save(self, identity: str, document: Mapping[str, Any]) -> None:
        """Store the document of an id durably, and drop the oldest beyond `keep`."""
        data = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        self._write(f"{identity}.json", data, durable=True)
        self._known[identity] = None
        self._known.move_to_end(identity)
        self._prune()

    def _write(self, name: str, data: bytes, *, durable: bool) -> Path:
        part = self.directory / f".{name}{_PART}"
        target = self.directory / name
        with part.open("wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fdatasync(file.fileno())
        part.replace(target)
        return target

    def _scan(self) -> OrderedDict[str, None]:
        """Return the ids from oldest to newest, and remove what an interrupted write left."""
        found = []
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if entry.name.startswith(".") and entry.name.endswith(_PART):
                    (self.directory / entry.name).unlink(missing_ok=True)
                elif entry.name.endswith(".json") and entry.is_file():
                    found.append((entry.stat().st_mtime_ns, entry.name.removesuffix(".json")))
        return OrderedDict((identity, None) for _, identity in sorted(found))

    def _prune(self) -> None:
        while len(self._known) > self.keep:
            identity, _ = self._known.popitem(last=False)
            (self.directory / f"{identity}.json").unlink(missing_ok=True)
            (self.directory / f"{identity}.jpg").unlink(missing_ok=True)
