"""Keep what was found, one document per id, so that no picture is ever looked at twice.

`<id>.json` is the result or the rejection, `<id>.jpg` the annotated picture, which follows it. Both
appear whole or not at all; the document is the mark that an id is done.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

from edge_ipc import documents

if TYPE_CHECKING:
    from pathlib import Path

_PART = ".part"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


class ResultStore:
    """The newest `keep` documents in a directory."""

    def __init__(self, directory: Path, keep: int) -> None:
        """Open the directory, creating it if need be. Raises OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.keep = keep
        self._expected: dict[str, _Part] = {}
        """What is open already."""
        self._known = self._scan()
        self.prune()

    def find(self, identity: str) -> dict[str, Any] | None:
        """Return the stored document of an id; None if there is none that is whole."""
        if identity not in self._known:
            return None
        try:
            document = json.loads(self._document_path(identity).read_bytes())
        except (OSError, ValueError):
            # Removed by hand, or emptied by a power cut: look at the picture again.
            return None
        return document if isinstance(document, dict) else None

    def keeps(self, identity: str) -> bool:
        """Whether the document of an id is stored and has not been dropped since."""
        return identity in self._known

    def picture_path(self, identity: str) -> Path:
        """Return where the annotated picture of an id is kept."""
        return self.directory / f"{identity}.jpg"

    def save_picture(self, identity: str, data: bytes) -> None:
        """Store the annotated picture. Raises OSError."""
        _finish(_open_part(self.picture_path(identity)), data)

    def expect(self, identity: str) -> None:
        """Open the file of a document that will soon be saved, which then takes half as long.

        Raises OSError.
        """
        if (former := self._expected.pop(identity, None)) is not None:
            os.close(former.descriptor)  # That answer was never stored, so the event came again.
        self._expected[identity] = _open_part(self._document_path(identity))

    def save(self, identity: str, document: documents.Document) -> None:
        """Store the document of an id. Raises OSError.

        From then on a killed process loses nothing; `sync` makes it outlast a power cut.
        """
        data = documents.encode(document)
        part = self._expected.pop(identity, None) or _open_part(self._document_path(identity))
        _finish(part, data)
        self._known[identity] = None
        self._known.move_to_end(identity)

    def sync(self, identity: str) -> None:
        """Bring the document of an id to the disk. Raises OSError."""
        descriptor = os.open(self._document_path(identity), os.O_RDONLY)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def prune(self) -> None:
        """Drop the oldest beyond `keep`. Raises OSError.

        To be called after every `save`, though not at once: to remove two files takes longer than
        to write one. Another thread may save meanwhile.
        """
        while len(self._known) > self.keep:
            identity, _ = self._known.popitem(last=False)
            # The document goes last: it alone tells the next start that there is something.
            self.picture_path(identity).unlink(missing_ok=True)
            self._document_path(identity).unlink(missing_ok=True)

    def _document_path(self, identity: str) -> Path:
        return self.directory / f"{identity}.json"

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


class _Part(NamedTuple):
    """A file that is being written, and what it will be called."""

    descriptor: int
    path: str
    target: str


def _open_part(target: Path) -> _Part:
    path = str(target.with_name(f".{target.name}{_PART}"))
    return _Part(os.open(path, _CREATE, 0o666), path, str(target))


def _finish(part: _Part, data: bytes) -> None:
    """Write a file and give it its name."""
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(part.descriptor, left) :]
    finally:
        os.close(part.descriptor)
    os.replace(part.path, part.target)  # noqa: PTH105 - its path was made ahead of time
