"""The store of results: whole documents, one per id, the newest of them."""

import os
from pathlib import Path

import pytest
from object_detection import results


def test_keeps_a_document_per_id(tmp_path: Path) -> None:
    """What was saved is found again, also by the next process."""
    store = results.ResultStore(tmp_path / "new" / "folder", 10)
    assert store.find("a") is None
    store.save("a", {"id": "a", "label": "Kätzchen"})
    store.save("a", {"id": "a", "label": "cat"})
    store.sync("a")
    again = results.ResultStore(store.directory, 10)
    assert again.find("a") == {"id": "a", "label": "cat"}
    assert [path.name for path in store.directory.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="emptied by a power cut"),
        pytest.param(b'{"id": "a"', id="cut off"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b"\xff\xfe", id="no text"),
    ],
)
def test_a_damaged_document_is_none(tmp_path: Path, content: bytes) -> None:
    """A document that is not whole does not count, so the picture is looked at again."""
    (tmp_path / "a.json").write_bytes(content)
    store = results.ResultStore(tmp_path, 10)
    assert store.find("a") is None
    store.save("a", {"id": "a"})
    assert store.find("a") == {"id": "a"}


def test_an_expected_document_is_no_document_yet(tmp_path: Path) -> None:
    """Only saving makes a document of what was expected, also when it was expected twice."""
    store = results.ResultStore(tmp_path, 3)
    store.expect("a")
    store.expect("a")
    store.expect("gone")
    assert store.find("a") is None
    store.save("a", {"id": "a"})
    again = results.ResultStore(tmp_path, 3)
    assert again.find("a") == {"id": "a"}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_removes_the_oldest(tmp_path: Path) -> None:
    """Beyond the limit the oldest documents go, with their pictures."""
    store = results.ResultStore(tmp_path, 3)
    for identity in "abcde":
        store.save_picture(identity, b"picture")
        store.save(identity, {"id": identity})
    assert store.find("a") is not None, "saving takes no time for that"
    store.prune()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{identity}.{ending}" for identity in "cde" for ending in ("json", "jpg")
    )
    for number, identity in enumerate("dec"):
        os.utime(tmp_path / f"{identity}.json", (number, number))
    smaller = results.ResultStore(tmp_path, 2)
    assert smaller.find("d") is None
    assert smaller.find("e") is not None


def test_only_what_is_there_can_be_synced(tmp_path: Path) -> None:
    """A document that was taken away in between is an error, not a silence."""
    with pytest.raises(FileNotFoundError):
        results.ResultStore(tmp_path, 3).sync("a")


def test_removes_what_an_interrupted_write_left(tmp_path: Path) -> None:
    """A part of a document is no document, and does not stay."""
    (tmp_path / ".a.json.part").write_bytes(b'{"id"')
    store = results.ResultStore(tmp_path, 3)
    assert store.find("a") is None
    assert list(tmp_path.iterdir()) == []


def test_refuses_a_place_that_is_no_directory(tmp_path: Path) -> None:
    """A file where the directory should be is an error at once."""
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        results.ResultStore(tmp_path / "file", 3)
