"""Who may administer the nucleus: its own user, and the groups that the settings name.

Each gets a token in a file of its own, which the command line reads (contract 3.9).
"""

from __future__ import annotations

import grp
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from verge.nucleus import logs, settings
from verge.nucleus.store import durable

log = logs.Logger("administrators")

_PREFIX = "greengrass-cli#"


class Administrators:
    """The tokens of this run of the nucleus; those of an earlier one are worth nothing."""

    def __init__(self, configured: settings.Settings) -> None:
        self._directory = configured.paths.cli_info
        self._groups = dict(_groups(configured.authorized_groups))
        self._own = f"user-{os.geteuid()}"
        self._tokens = {name: _make_token() for name in (self._own, *self._groups)}

    def owner_of(self, token: str) -> str | None:
        """Return the principal that a token belongs to, such as `greengrass-cli#user-0`."""
        found = None
        for name, known in self._tokens.items():
            if secrets.compare_digest(known.encode(), token.encode()):
                found = _PREFIX + name
        return found

    def write(self, socket: Path) -> None:
        """Write a file for each, readable by whom it is for, and remove those of others."""
        for file in self._directory.iterdir():
            if file.name not in self._tokens and not file.is_dir():
                file.unlink()
        for name, token in self._tokens.items():
            document = {"cli_auth_token": token, "domain_socket_path": str(socket)}
            self._write(name, json.dumps(document))

    def _write(self, name: str, text: str) -> None:
        file, group = self._directory / name, self._groups.get(name)
        if group is None:
            durable.write_atomically(file, text, 0o600)
            return
        try:
            durable.write_atomically(file, text, 0o640, group)
        except PermissionError:
            log.warning("Group gets no token, the nucleus may not give files to it", group=group)


def _groups(wanted: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    for text in wanted:
        try:
            number = grp.getgrnam(text).gr_gid
        except KeyError:
            if not text.isdecimal():
                log.warning("Group gets no token, there is no such group", group=text)
                continue
            number = int(text)
        yield f"group-{number}", number


def _make_token() -> str:
    return secrets.token_hex(16).upper()
