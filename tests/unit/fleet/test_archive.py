from __future__ import annotations

import hashlib
import os
import random
import stat
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verge.fleet import archive, errors

Member = tuple[str, Path, bool, str]


def _members(folder: Path, contents: dict[str, bytes]) -> list[Member]:
    found = []
    for number, (name, content) in enumerate(contents.items()):
        path = folder / str(number)
        path.write_bytes(content)
        found.append((name, path, name.endswith("x"), hashlib.sha256(content).hexdigest()))
    return found


names = st.lists(
    st.text(
        st.characters(exclude_characters="/\\\0:", exclude_categories=["Cs"]),
        min_size=1,
        max_size=8,
    ).filter(lambda part: part not in (".", "..")),
    min_size=1,
    max_size=3,
).map("/".join)


@settings(max_examples=60)
@given(contents=st.dictionaries(names, st.binary(max_size=200), max_size=6), seed=st.integers())
def test_same_content_gives_the_same_bytes(contents: dict[str, bytes], seed: int) -> None:
    """Order, times and modes of the files do not show; what was put in comes out."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        members = _members(folder, contents)
        archive.write_zip(folder / "one.zip", members)
        random.Random(seed).shuffle(members)  # noqa: S311 - an order, no secret
        for _, path, _, _ in members:
            path.chmod(0o600)
            os.utime(path, (1, 1))
        archive.write_zip(folder / "two.zip", members)
        assert (folder / "one.zip").read_bytes() == (folder / "two.zip").read_bytes()
        archive.check_zip(folder / "one.zip", "one.zip")
        with zipfile.ZipFile(folder / "one.zip") as written:
            assert {name: written.read(name) for name in written.namelist()} == contents


def test_entries_have_fixed_facts(tmp_path: Path) -> None:
    """Entries are sorted, stored, of 1980 and have mode 0644, or 0755 if executable."""
    archive.write_zip(tmp_path / "a.zip", _members(tmp_path, {"b": b"1", "a/x": b"2"}))
    with zipfile.ZipFile(tmp_path / "a.zip") as written:
        facts = [
            (e.filename, stat.filemode(e.external_attr >> 16), e.date_time, e.compress_type)
            for e in written.infolist()
        ]
    time = (1980, 1, 1, 0, 0, 0)
    assert facts == [
        ("a/x", "-rwxr-xr-x", time, zipfile.ZIP_STORED),
        ("b", "-rw-r--r--", time, zipfile.ZIP_STORED),
    ]


def test_file_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    """A file that is no longer what was hashed does not get into an archive."""
    members = _members(tmp_path, {"a": b"old"})
    members[0][1].write_bytes(b"new")
    with pytest.raises(errors.FleetError, match="it changed meanwhile"):
        archive.write_zip(tmp_path / "a.zip", members)


ESCAPES = {
    "parent": ("../evil.sh", "escapes its folder"),
    "parent further down": ("a/../../evil.sh", "escapes its folder"),
    "absolute": ("/etc/passwd", "has an absolute path"),
    "drive": ("C:/evil.exe", "has an absolute path"),
    "backslashes": ("..\\evil.sh", "escapes its folder"),
    "backslash in a name": ("a\\b", "has a name that systems read differently"),
}


@pytest.mark.parametrize(("name", "reason"), ESCAPES.values(), ids=ESCAPES.keys())
def test_entry_that_escapes_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    """An archive with an entry that would land outside its folder is refused by that entry."""
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as made:
        made.writestr("fine.txt", "x")
        made.writestr(name, "x")
    with pytest.raises(errors.FleetError) as told:
        archive.check_zip(tmp_path / "evil.zip", "out/evil.zip")
    assert str(told.value) == f"cannot use out/evil.zip: its entry {name!r} {reason}"


def test_link_is_refused(tmp_path: Path) -> None:
    """A link in an archive could lead anywhere, so it is refused."""
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as made:
        made.writestr(entry, "/etc/passwd")
    with pytest.raises(errors.FleetError, match="'link' is neither a file nor a folder"):
        archive.check_zip(tmp_path / "link.zip", "link.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_name_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    """Of two entries with one name readers take different ones, so both are refused."""
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as made:
        made.writestr("a", "1")
        made.writestr("a", "2")
    with pytest.raises(errors.FleetError, match="'a' occurs twice"):
        archive.check_zip(tmp_path / "twice.zip", "twice.zip")


@settings(max_examples=80)
@given(content=st.binary(max_size=300))
def test_garbage_is_refused(content: bytes) -> None:
    """Whatever is no zip is refused with one sentence, never with another error."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.zip")
        path.write_bytes(content)
        with pytest.raises(errors.FleetError, match=r"cannot use a\.zip: it is not a zip archive"):
            archive.check_zip(path, "a.zip")


@settings(max_examples=80)
@given(cut=st.integers(0, 400), flip=st.integers(0, 10_000))
def test_damaged_archive_never_raises_anything_else(cut: int, flip: int) -> None:
    """A truncated archive with a flipped bit passes or is refused; nothing else happens."""
    with tempfile.TemporaryDirectory() as folder:
        archive.write_zip(
            Path(folder, "a.zip"), _members(Path(folder), {"a": b"1" * 50, "b/c": b""})
        )
        content = bytearray(Path(folder, "a.zip").read_bytes())
        content[flip // 8 % len(content)] ^= 1 << flip % 8
        Path(folder, "a.zip").write_bytes(content[: max(1, len(content) - cut)])
        try:
            archive.check_zip(Path(folder, "a.zip"), "a.zip")
        except errors.FleetError as error:
            assert error.message.startswith("cannot use a.zip: ")  # noqa: PT017
