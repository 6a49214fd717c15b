"""What a device tells of the nucleus and of its own identity."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.unit.roles import loading, tables

nucleus = loading.load("greengrass", "library", "verge_nucleus")

MAKE_IDENTITY = tables.ROLES / "greengrass" / "files" / "make_identity.sh"


def _make_key(key: Path) -> str:
    done = subprocess.run(
        ["sh", MAKE_IDENTITY, key, "press-01"], capture_output=True, text=True, check=True
    )
    return done.stdout


def _sign(key: Path, certificate: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-key", key, "-subj", "/CN=press-01", "-out", certificate],
        check=True,
    )


def test_a_key_is_made_private_and_its_request_told(tmp_path: Path) -> None:
    """The key that the role makes is its owner's alone; request and later requests are for it."""
    key = tmp_path / "key"
    request = _make_key(key)
    assert key.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    found = nucleus.find_identity(key, tmp_path / "none", "press-01")
    assert found["certificate"] == ""
    for each in (request, found["request"]):
        told = subprocess.run(
            ["openssl", "req", "-noout", "-subject", "-pubkey"],
            input=each,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "press-01" in told
        assert nucleus.openssl("pkey", "-in", str(key), "-pubout") in told


def test_a_device_without_a_key_has_no_identity(tmp_path: Path) -> None:
    """Without a key there is neither request nor certificate, whatever lies there."""
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    _make_key(key)
    _sign(key, certificate)
    key.unlink()
    nothing = {"request": "", "certificate": ""}
    assert nucleus.find_identity(key, certificate, "press-01") == nothing


def test_only_a_certificate_for_the_key_counts(tmp_path: Path) -> None:
    """A certificate for another key, or a damaged one, is none."""
    key, other, certificate = (tmp_path / name for name in ("key", "other", "certificate"))
    _make_key(key)
    _make_key(other)
    _sign(key, certificate)
    found = nucleus.find_identity(key, certificate, "press-01")
    assert found["certificate"] == certificate.read_text()
    _sign(other, certificate)
    assert nucleus.find_identity(key, certificate, "press-01")["certificate"] == ""
    certificate.write_text("damaged")
    assert nucleus.find_identity(key, certificate, "press-01")["certificate"] == ""


def test_a_damaged_key_is_named(tmp_path: Path) -> None:
    """A key that openssl cannot read is not replaced; the reason is told."""
    key = tmp_path / "key"
    key.write_text("damaged")
    with pytest.raises(nucleus.LookError, match="openssl req"):
        nucleus.find_identity(key, tmp_path / "none", "press-01")


def test_only_complete_versions_count(tmp_path: Path) -> None:
    """A version without its marker was interrupted; the lock's hash names the wanted one."""
    (tmp_path / "nucleus-1").mkdir()
    (tmp_path / "nucleus-2").mkdir()
    (tmp_path / "nucleus-2" / ".complete").touch()
    assert nucleus.find_versions(tmp_path, ".complete") == ["nucleus-2"]
    assert nucleus.find_versions(tmp_path / "none", ".complete") == []
    lock = tmp_path / "nucleus.txt"
    assert nucleus.find_lock(lock) == ""
    lock.write_bytes(b"one==1\n")
    assert nucleus.find_lock(lock) == hashlib.sha256(b"one==1\n").hexdigest()


@pytest.mark.parametrize(
    ("active", "enabled", "at_work"),
    [
        ("active", "enabled", True),
        ("activating", "enabled", False),
        ("active", "disabled", False),
        ("inactive", "", False),
    ],
)
def test_a_service_that_tries_to_run_is_not_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, active: str, enabled: str, at_work: bool
) -> None:
    """At work is what runs now and after every boot, in whatever order systemd says so."""
    program = tmp_path / "systemctl"
    program.write_text(f"#!/bin/sh\necho UnitFileState={enabled}\necho ActiveState={active}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert nucleus.is_at_work("greengrass.service") is at_work
