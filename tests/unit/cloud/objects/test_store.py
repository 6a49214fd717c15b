"""Objects on disk, apart from HTTP."""

from __future__ import annotations

import hashlib
import io
import resource
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from verge.cloud import database, errors
from verge.cloud.objects import blobs, checksums, listing, store, uploads


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


def test_listing_goes_on_after_the_folder_itself(shelf: Shelf) -> None:
    """A key that equals the prefix, as consoles make for folders, ends a page like any other."""
    for key in ("dir/", "dir/a", "dir/b/c"):
        shelf.put(key, b"")
    first = listing.page(shelf.rows, "b", prefix="dir/", delimiter="/", limit=1)
    assert ([each.key for each in first.objects], first.truncated) == (["dir/"], True)
    rest = listing.page(shelf.rows, "b", prefix="dir/", delimiter="/", after=first.last)
    assert ([each.key for each in rest.objects], rest.prefixes) == (["dir/a"], ("dir/b/",))


def test_a_disk_that_fills_up_is_an_error(shelf: Shelf) -> None:
    """Bytes that found no room are not acknowledged as if they were there."""
    content = io.BytesIO(b"x" * (blobs.BLOCK + blobs.BLOCK // 2))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel takes a part of the last block, as it does on a disk that is nearly full.
    resource.setrlimit(resource.RLIMIT_FSIZE, (blobs.BLOCK + blobs.BLOCK // 4, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            shelf.store.blobs.receive(content, checksums.Digests())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert shelf.names() == []


def test_an_upload_replaces_an_object_at_once(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far the end of an upload gets, the object is whole afterwards: the old or the new."""
    shelf.put("a", b"old")
    multipart = uploads.Uploads(rows=shelf.rows, objects=shelf.store)
    upload = multipart.create("b", "a", store.Attributes(), {})
    digests = checksums.Digests()
    segment = shelf.store.blobs.receive(io.BytesIO(b"new"), digests)
    etag = digests.md5.digest().hex()
    multipart.keep(upload, 1, segment, etag, None)
    remove = shelf.store.blobs.discard

    def killed(names: Iterable[str]) -> None:
        remove(names)
        raise KeyboardInterrupt

    monkeypatch.setattr(shelf.store.blobs, "discard", killed)
    with pytest.raises(KeyboardInterrupt):
        multipart.complete(upload, [uploads.Wanted(1, etag)])
    found = shelf.opened().read("b", "a")
    assert found is not None
    with found[1] as reader:
        assert reader.read() in {b"old", b"new"}


def test_an_object_that_is_gone_has_no_digest(shelf: Shelf) -> None:
    """Who asks for the digest of an object that was replaced meanwhile does not get that of ""."""
    former = shelf.put("a", b"former")
    shelf.put("a", b"later")
    with pytest.raises(errors.NotFoundError, match="s3://b/a"):
        shelf.store.digest(former)


def test_a_digest_is_that_of_the_bytes(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that replaces another while that one is digested gets a digest of its own."""
    former = shelf.put("a", b"former")
    file_digest = hashlib.file_digest

    def replaced(source: Any, name: str) -> Any:
        monkeypatch.undo()
        shelf.put("a", b"later")
        return file_digest(source, name)

    monkeypatch.setattr(hashlib, "file_digest", replaced)
    assert shelf.store.digest(former) == hashlib.sha256(b"former").digest()
    later = shelf.store.find("b", "a")
    assert later is not None
    assert shelf.store.digest(later) == hashlib.sha256(b"later").digest()
