"""Secrets on the device."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from verge.nucleus.store import secret_files
from verge.nucleus.store.secret_files import CURRENT, PREVIOUS

NAME = "press/password"


@pytest.fixture
def kept(tmp_path: Path) -> secret_files.SecretFiles:
    return secret_files.SecretFiles(tmp_path / "secrets", "eu-west-1")


def found(kept: secret_files.SecretFiles, wanted: str = NAME) -> secret_files.Secret:
    secret = kept.find(wanted)
    assert secret is not None
    return secret


def test_new_version_takes_the_stage_of_the_former(kept: secret_files.SecretFiles) -> None:
    """The newest value is current, the one before previous, and older ones go."""
    for value in ("one", "two", "three"):
        kept.put(NAME, value)
    assert [(each.text, each.stages) for each in found(kept).versions] == [
        ("three", [CURRENT]),
        ("two", [PREVIOUS]),
    ]


def test_further_stages(kept: secret_files.SecretFiles) -> None:
    """A label of one's own keeps its version until a newer one takes it."""
    first = kept.put(NAME, "one", stages=["blue"])
    kept.put(NAME, "two")
    kept.put(NAME, "three")
    secret = found(kept)
    assert secret.find(None, "blue") == secret.find(first.id, None)
    kept.put(NAME, "four", stages=["blue"])
    blue = found(kept).find(None, "blue")
    assert blue is not None
    assert blue.text == "four"
    assert found(kept).find(first.id, None) is None


def test_names_and_arns_find_it(kept: secret_files.SecretFiles) -> None:
    """A secret is found by name, by ARN and by an ARN without its random end."""
    kept.put(NAME, "one")
    arn = found(kept).arn
    assert arn.startswith("arn:aws:secretsmanager:eu-west-1:000000000000:secret:press/password-")
    assert found(kept, arn).name == found(kept, arn[:-7]).name == NAME
    for other in (arn[:-1], arn.replace("eu-west-1", "us-east-1"), "press", "", "arn:"):
        assert kept.find(other) is None


def test_arn_stays(kept: secret_files.SecretFiles) -> None:
    """Policies name the ARN, so a new version does not change it, unless one is given."""
    kept.put(NAME, "one")
    arn = found(kept).arn
    kept.put(NAME, "two")
    assert found(kept).arn == arn
    given = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:press/password-AbCdEf"
    kept.put(NAME, "three", arn=given)
    assert found(kept, given).arn == given


def test_only_its_owner_reads_it(kept: secret_files.SecretFiles, tmp_path: Path) -> None:
    """Directory and files are the owner's alone."""
    kept.put(NAME, b"\x00\xff")
    (file,) = (tmp_path / "secrets").glob("*.json")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert found(kept).versions[0].binary == b"\x00\xff"


def test_remove(kept: secret_files.SecretFiles) -> None:
    """A removed secret is gone, and there is nothing to remove twice."""
    kept.put(NAME, "one")
    kept.remove(NAME)
    assert kept.find(NAME) is None
    assert kept.list() == []
    with pytest.raises(secret_files.SecretError, match="there is none"):
        kept.remove(NAME)


def test_list_before_there_is_any(kept: secret_files.SecretFiles) -> None:
    """Without a directory there are no secrets."""
    assert kept.list() == []
    assert kept.find(NAME) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"name": "s3cret"', b"\xff"])
def test_damaged_file(kept: secret_files.SecretFiles, tmp_path: Path, content: bytes) -> None:
    """A damaged file is named, its content never."""
    kept.put(NAME, "s3cret")
    (file,) = (tmp_path / "secrets").glob("*.json")
    file.write_bytes(content)
    with pytest.raises(secret_files.SecretError, match="it is damaged") as refused:
        kept.find(NAME)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("", "x", id="no name"),
        pytest.param("a b", "x", id="space"),
        pytest.param("a" * 513, "x", id="long name"),
        pytest.param("a", "", id="no value"),
        pytest.param("a", b"x" * 65_537, id="long value"),
    ],
)
def test_refused(kept: secret_files.SecretFiles, name: str, value: str | bytes) -> None:
    """What AWS would refuse is refused."""
    with pytest.raises(secret_files.SecretError, match="cannot keep secret"):
        kept.put(name, value)


def test_disk_without_room_keeps_no_part_of_a_secret(
    kept: secret_files.SecretFiles, tmp_path: Path
) -> None:
    """A secret that could not be written whole leaves nothing behind."""
    soft, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, most))  # a full disk, for this process
    try:
        with pytest.raises(secret_files.SecretError):
            kept.put(NAME, "x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, most))
    assert list((tmp_path / "secrets").iterdir()) == []
    kept.put(NAME, "one")
    assert found(kept).versions[0].text == "one"
