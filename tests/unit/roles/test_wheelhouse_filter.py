"""What a wheelhouse consists of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.roles import loading

wheelhouse = loading.load("wheelhouse", "filter_plugins", "wheelhouse")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a wheelhouse of one wheel, whose manifest tells another hash than it has."""
    (tmp_path / "one-1.0-py3-none-any.whl").write_bytes(b"damaged")
    (tmp_path / "nucleus.txt").write_text("one==1.0\n")
    wheel = {"file": "one-1.0-py3-none-any.whl", "sha256": "ab" * 32, "size": 7}
    (tmp_path / "manifest.json").write_text(json.dumps({"platform": "x", "wheels": [wheel]}))
    return tmp_path


def test_files_carry_the_hashes_of_the_manifest(directory: Path) -> None:
    """Wheels are held against the manifest and not against themselves; the manifest is last."""
    contents = wheelhouse.wheelhouse_contents(str(directory))
    assert contents["refusal"] == ""
    files = contents["files"]
    assert files[0] == {"file": "one-1.0-py3-none-any.whl", "sha256": "ab" * 32}
    assert [file["file"] for file in files[1:]] == ["nucleus.txt", "manifest.json"]
    content = (directory / "manifest.json").read_bytes()
    assert files[2]["sha256"] == hashlib.sha256(content).hexdigest()


def _manifest(directory: Path, text: str) -> None:
    (directory / "manifest.json").write_text(text)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda d: (d / "manifest.json").unlink(), "manifest.json cannot be understood"),
        (lambda d: _manifest(d, '{"wheels": ['), "manifest.json cannot be understood"),
        (lambda d: _manifest(d, "[]"), "manifest.json cannot be understood"),
        (lambda d: _manifest(d, '{"wheels": [{"file": 1}]}'), "manifest.json cannot be understood"),
        (lambda d: next(d.glob("*.whl")).unlink(), "one-1.0-py3-none-any.whl is missing"),
        (lambda d: (d / "nucleus.txt").unlink(), "nucleus.txt is missing"),
        (
            lambda d: _manifest(d, '{"wheels": [{"file": "../x.whl", "sha256": "00"}]}'),
            "../x.whl is missing",
        ),
    ],
    ids=["no manifest", "truncated", "no map", "no hash", "no wheel", "no lock", "escape"],
)
def test_incomplete_wheelhouses_are_refused(
    directory: Path, damage: Callable[[Path], None], said: str
) -> None:
    """A wheelhouse that lacks something is refused by name, with the next step."""
    damage(directory)
    contents = wheelhouse.wheelhouse_contents(str(directory))
    assert contents["files"] == []
    message = contents["refusal"]
    assert message.startswith(f"cannot use the wheelhouse {directory}: ")
    assert said in message
    assert message.endswith("run `inv wheels`")
