"""The way from the command line to the nucleus: its socket and the user's token."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from verge.nucleus import errors, paths
from verge.nucleus.ipc import client


class CommandError(errors.NucleusError):
    """A command cannot be carried out."""


class UnreachableError(CommandError):
    """The nucleus does not listen, or went away."""


@contextlib.contextmanager
def connect(root: Path) -> Iterator[client.IpcClient]:
    """Connect to the nucleus of a root. Raises CommandError with the next step."""
    info = _token_file(paths.Paths(root).cli_info)
    try:
        document = json.loads(info.read_text(encoding="utf-8"))
        socket, token = document["domain_socket_path"], document["cli_auth_token"]
    except FileNotFoundError:
        raise CommandError(
            f"cannot find {info}: no nucleus has served {root} for this user or its groups; start "
            "it, name its root with --root, run this command as its user, or name a group of "
            "yours in AuthorizedPosixGroups"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(f"cannot read {info}: {error}; run this as the nucleus's user") from None
    try:
        with client.IpcClient(socket, token) as connection:
            yield connection
    except client.IpcConnectionError as error:
        raise UnreachableError(
            f"cannot talk to the nucleus of {root}: {error}; see whether it runs: "
            "systemctl status greengrass"
        ) from None
    except client.IpcError as error:
        raise CommandError(str(error)) from None
    except TimeoutError:
        raise CommandError(
            f"cannot get an answer from the nucleus of {root}; see its log"
        ) from None


def _token_file(directory: Path) -> Path:
    """Return the token of this user, or else of one of its groups that it may read."""
    own = directory / f"user-{os.geteuid()}"
    groups = sorted({os.getegid(), *os.getgroups()})
    files = [own, *(directory / f"group-{group}" for group in groups)]
    return next((file for file in files if os.access(file, os.R_OK)), own)
