"""Tokens of those who may administer the nucleus."""

from __future__ import annotations

import grp
import json
import os
import stat
from pathlib import Path

import pytest

from verge.nucleus import administrators, paths, settings
from verge.nucleus.commands import connection

OWN = f"user-{os.geteuid()}"
GROUP = grp.getgrall()[-1]


def admit(root: Path, *groups: str) -> administrators.Administrators:
    where = paths.Paths(root)
    where.create()
    made = administrators.Administrators(settings.Settings(where, authorized_groups=groups))
    made.write(root / "ipc.socket")
    return made


def token(root: Path, name: str) -> str:
    document = json.loads((root / "cli_ipc_info" / name).read_text())
    assert document["domain_socket_path"] == str(root / "ipc.socket")
    return str(document["cli_auth_token"])


def test_own_user(tmp_path: Path) -> None:
    """The nucleus's own user has a token that nobody else may read."""
    admitted = admit(tmp_path)
    (file,) = (tmp_path / "cli_ipc_info").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert admitted.owner_of(token(tmp_path, OWN)) == f"greengrass-cli#{OWN}"
    assert admitted.owner_of("") is None
    assert admitted.owner_of("ß") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to any group")
def test_groups(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each group, by name or number, has a token of its own that its members may read."""
    admitted = admit(tmp_path, GROUP.gr_name, "4711", "no-such-group")
    assert "there is no such group" in caplog.text
    for number in (GROUP.gr_gid, 4711):
        file = tmp_path / "cli_ipc_info" / f"group-{number}"
        found = file.stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, number, 0o640)
        owner = admitted.owner_of(token(tmp_path, file.name))
        assert owner == f"greengrass-cli#group-{number}"


def test_former_groups_lose_their_file(tmp_path: Path) -> None:
    """What an earlier nucleus wrote for others is removed."""
    admit(tmp_path, str(os.getegid()))
    assert (tmp_path / "cli_ipc_info" / f"group-{os.getegid()}").is_file()
    admit(tmp_path)
    assert [file.name for file in (tmp_path / "cli_ipc_info").iterdir()] == [OWN]


def test_command_line_finds_the_token_of_its_group(tmp_path: Path) -> None:
    """A user without a token uses that of a group."""
    admit(tmp_path, str(os.getegid()))
    directory = tmp_path / "cli_ipc_info"
    assert connection._token_file(directory).name == OWN
    (directory / OWN).unlink()
    assert connection._token_file(directory).name == f"group-{os.getegid()}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused nothing by default")
def test_group_that_files_cannot_be_given_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A nucleus that is not root says which group it could not admit, and leaves no file."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "fchown", refuse)
    admit(tmp_path, "4711")
    assert "Group gets no token, the nucleus may not give files to it" in caplog.text
    assert [file.name for file in (tmp_path / "cli_ipc_info").iterdir()] == [OWN]
