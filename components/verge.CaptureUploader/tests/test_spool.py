"""The spool: durable, bounded, whole captures only."""

import hashlib
import os
from pathlib import Path

import pytest
from capture_uploader import choice, spool

BIG = 10**9


def result_of(path: Path, identity: str = "1", content: bytes = b"picture") -> choice.Result:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    document = {"id": identity}
    return choice.Result(identity, "press-01", "2026", str(path), digest, 0.4, document)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "spool").iterdir())


def test_keeps_a_capture_until_it_is_done(tmp_path: Path) -> None:
    """A capture survives a restart with its files, in its order, and leaves none behind."""
    captures = spool.Spool(tmp_path)
    for identity in ("b.1", "a"):
        captures.take(
            result_of(tmp_path / "p" / f"{identity}.PNG", identity), BIG, drop_oldest=True
        )
    captures.close()
    again = spool.Spool(tmp_path)
    first = again.oldest()
    assert first
    assert (first.id, first.picture.name) == ("b.1", "b.1.png")
    assert (first.picture.read_bytes(), first.document.read_text()) == (
        b"picture",
        '{\n "id": "b.1"\n}',
    )
    again.finish(first)
    assert files(tmp_path) == ["a.json", "a.png"]
    assert again.knows("b.1")
    assert again.waiting()[0] == 1


def test_what_a_cut_left_is_removed(tmp_path: Path) -> None:
    """Files without a row are the rest of a take that was cut off."""
    captures = spool.Spool(tmp_path)
    captures.take(result_of(tmp_path / "p" / "1.jpg"), BIG, drop_oldest=True)
    (tmp_path / "spool" / "2.jpg").write_bytes(b"half")
    captures.close()
    spool.Spool(tmp_path)
    assert files(tmp_path) == ["1.jpg", "1.json"]


@pytest.mark.parametrize("drop_oldest", [True, False])
def test_the_limit_holds(tmp_path: Path, drop_oldest: bool) -> None:
    """Beyond the limit the oldest go, or new ones are refused, as it was asked for."""
    captures = spool.Spool(tmp_path)
    dropped: list[str] = []
    refused = 0
    for number in range(10):
        result = result_of(tmp_path / "p" / f"{number}.jpg", str(number), b"x" * 100)
        try:
            dropped += captures.take(result, 500, drop_oldest=drop_oldest)
        except spool.FullError:
            refused += 1
        assert sum(path.stat().st_size for path in (tmp_path / "spool").iterdir()) <= 500
    assert captures.waiting()[0] == 4
    assert (dropped, refused) == (([*map(str, range(6))], 0) if drop_oldest else ([], 6))
    with pytest.raises(spool.FullError, match="more than the 50 of"):
        captures.take(
            result_of(tmp_path / "p" / "x.jpg", "x", b"x" * 60), 50, drop_oldest=drop_oldest
        )


def test_a_picture_that_is_another_is_not_taken(tmp_path: Path) -> None:
    """A picture that was replaced, removed, or became a link or a pipe is named, not uploaded."""
    captures = spool.Spool(tmp_path)
    path = tmp_path / "p" / "1.jpg"
    result = result_of(path)
    path.write_bytes(b"another")
    with pytest.raises(spool.PictureGoneError, match="another picture by now"):
        captures.take(result, BIG, drop_oldest=True)
    path.unlink()
    with pytest.raises(spool.PictureGoneError, match="No such file"):
        captures.take(result, BIG, drop_oldest=True)
    os.mkfifo(path)
    with pytest.raises(spool.PictureGoneError, match="no regular file"):
        captures.take(result, BIG, drop_oldest=True)
    path.unlink()
    path.symlink_to("/etc/hostname")
    with pytest.raises(spool.SpoolError, match="cannot keep"):
        captures.take(result, BIG, drop_oldest=True)
    assert files(tmp_path) == []
    assert captures.oldest() is None


def test_nothing_goes_for_a_picture_that_cannot_be_had(tmp_path: Path) -> None:
    """A full spool gives nothing up for a picture that holds another one by now."""
    captures = spool.Spool(tmp_path)
    captures.take(result_of(tmp_path / "p" / "1.jpg", "1", b"x" * 100), 150, drop_oldest=True)
    path = tmp_path / "p" / "2.jpg"
    result = result_of(path, "2", b"y" * 100)
    path.write_bytes(b"z" * 100)
    with pytest.raises(spool.PictureGoneError, match="another picture by now"):
        captures.take(result, 150, drop_oldest=True)
    assert files(tmp_path) == ["1.jpg", "1.json"]
    assert captures.waiting()[0] == 1


@pytest.mark.parametrize("name", ["1.json", "1", "1.a b", "1.overlylongsuffix"])
def test_odd_suffixes_become_plain(tmp_path: Path, name: str) -> None:
    """A picture's suffix never collides with its result's and is safe in a key."""
    captures = spool.Spool(tmp_path)
    captures.take(result_of(tmp_path / "p" / name), BIG, drop_oldest=True)
    assert files(tmp_path) == ["1.bin", "1.json"]


def test_remembers_only_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids that were looked at are forgotten at last, but never what still waits."""
    monkeypatch.setattr(spool, "REMEMBERED", 5)
    captures = spool.Spool(tmp_path)
    captures.take(result_of(tmp_path / "p" / "0.jpg", "0"), BIG, drop_oldest=True)
    for number in range(1, 20):
        captures.pass_over(result_of(tmp_path / "p" / "x.jpg", str(number)))
    assert [n for n in range(20) if captures.knows(str(n))] == [0, *range(15, 20)]


def test_only_what_waits_is_synced(tmp_path: Path) -> None:
    """The disk is not asked to sync a picture passed over, and is for the capture after it."""
    captures = spool.Spool(tmp_path)
    modes: list[int] = []

    def note_mode(statement: str) -> None:
        if statement.startswith("INSERT"):
            modes.append(captures._database.execute("PRAGMA synchronous").fetchone()[0])

    captures._database.set_trace_callback(note_mode)
    captures.pass_over(result_of(tmp_path / "p" / "0.jpg", "0"))
    captures.take(result_of(tmp_path / "p" / "1.jpg", "1"), BIG, drop_oldest=True)
    normal, full = 1, 2
    assert modes == [normal, full]
