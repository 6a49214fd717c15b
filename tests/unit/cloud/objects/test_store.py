"""Objects on disk, apart from HTTP."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from verge.cloud import database
from verge.cloud.objects import blobs, checksums, listing, store


class Shelf:
    """A store on a directory; opened again it is what a restart makes of it."""

    def __init__(self, path: Path) -> None:
        self.files = path / "objects"
        self.rows = database.Database(path / "db", [store.SCHEMA])
        self.store = self.opened()

    def opened(self) -> store.Store:
        """Open the store again."""
        return store.Store(rows=self.rows, directory=self.files)

    def put(self, key: str, content: bytes, *more: bytes) -> store.Object:
        """Put an object that consists of segments."""
        segments = tuple(
            self.store.blobs.receive(io.BytesIO(each), checksums.Digests())
            for each in (content, *more)
        )
        made = store.Content(segments=segments, etag=hashlib.sha256(content).hexdigest()[:32])
        return self.store.put("b", key, made, attributes=store.Attributes(), tags={})

    def names(self) -> list[str]:
        """Return the files that there are."""
        return sorted(path.name for path in self.files.glob("*/*"))


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    made.rows.close()


def test_readers_keep_what_they_began_to_read(shelf: Shelf) -> None:
    """An object that is replaced or deleted meanwhile is read to its end; then its file goes."""
    shelf.put("a", b"old " * 1000, b"end")
    found = shelf.store.read("b", "a")
    assert found is not None
    _, reader = found
    assert reader.read(4) == b"old "
    shelf.put("a", b"new")
    assert len(shelf.names()) == 3
    assert reader.read() == b"old " * 999 + b"end"
    reader.close()
    assert len(shelf.names()) == 1
    assert shelf.store.delete("b", "a")
    assert not shelf.store.delete("b", "a")
    assert shelf.names() == []


def test_what_has_no_row_is_removed_at_the_start(shelf: Shelf) -> None:
    """A crash between the file and its row leaves a file; the next start removes it."""
    kept = shelf.put("a", b"kept")
    shelf.store.blobs.receive(io.BytesIO(b"never named"), checksums.Digests())
    assert len(shelf.names()) == 2
    again = shelf.opened()
    assert shelf.names() == [segment.blob for segment in again.segments(kept)]


def test_a_failing_upload_leaves_nothing(shelf: Shelf) -> None:
    """A stream that breaks is no blob."""

    class Broken:
        def readinto(self, buffer: memoryview) -> int:
            if shelf.names():
                raise OSError("gone")
            return len(buffer)

    with pytest.raises(OSError, match="gone"):
        shelf.store.blobs.receive(Broken(), checksums.Digests())
    assert shelf.names() == []


@pytest.mark.parametrize(("start", "count"), [(0, 3), (2, 5), (4, 4), (8, 100), (100, 1)])
def test_segments_read_as_one(shelf: Shelf, start: int, count: int) -> None:
    """Where one segment ends and the next begins does not show."""
    whole = b"abcd" + b"" + b"efgh" + b"ij"
    stored = shelf.put("a", b"abcd", b"", b"efgh", b"ij")
    with shelf.store.blobs.open(shelf.store.segments(stored)) as reader:
        reader.seek(start)
        assert reader.read(count) == whole[start : start + count]
    assert shelf.store.digest(stored) == hashlib.sha256(whole).digest()


def test_a_file_that_was_cut_is_an_error(shelf: Shelf) -> None:
    """Bytes that have gone are not read as if there were none."""
    stored = shelf.put("a", b"abcd")
    (segment,) = shelf.store.segments(stored)
    (shelf.files / segment.blob[:2] / segment.blob).write_bytes(b"ab")
    with (
        shelf.store.blobs.open([blobs.Segment(segment.blob, 4)]) as reader,
        pytest.raises(OSError, match="shorter than it was"),
    ):
        reader.read()


def test_listing_skips_what_a_prefix_rolls_up(shelf: Shelf) -> None:
    """Thousands of keys below one prefix count as one entry of a page."""
    for number in range(30):
        shelf.put(f"deep/{number:02d}", b"")
    shelf.put("z", b"")
    page = listing.page(shelf.rows, "b", delimiter="/", limit=1)
    assert (page.prefixes, page.objects, page.truncated) == (("deep/",), (), True)
    page = listing.page(shelf.rows, "b", delimiter="/", after=page.last, limit=1)
    assert [each.key for each in page.objects] == ["z"]
    assert not page.truncated
    assert listing.page(shelf.rows, "b", limit=0).truncated is False
