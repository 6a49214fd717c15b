"""The user a component runs as (Greengrass contract 2.9)."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from verge.nucleus import errors


class UserError(errors.NucleusError):
    """A component has no user to run as, or the nucleus may not become that user."""


@dataclass(frozen=True)
class Identity:
    """A user with everything that running a program as this user takes."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str

    @property
    def is_current(self) -> bool:
        """Whether the nucleus itself is this user already, so nothing needs switching."""
        return (self.uid, self.gid) == (os.geteuid(), os.getegid())


def current() -> Identity:
    """Return the nucleus's own user."""
    return _identity(_by_id(os.geteuid()), os.getegid(), os.geteuid())


def resolve(text: str) -> Identity:
    """Return the identity of `user` or `user:group`, each a name or a number.

    Without a group it is the user's primary one. Raises UserError.
    """
    user, _, group = text.partition(":")
    entry = _user(user)
    if entry is None and not group:
        raise UserError(f"cannot run as {text}: user {user} is unknown here, so name a group too")
    uid = entry.pw_uid if entry else int(user)
    gid = _group(group) if group else entry.pw_gid if entry else uid
    identity = _identity(entry, gid, uid)
    if os.geteuid() != 0 and uid != os.geteuid():
        raise UserError(
            f"cannot run as {text}: the nucleus runs as uid {os.geteuid()} and only root may "
            "switch users; run the nucleus as root or set runWithDefault.posixUser to its user"
        )
    return identity


def choose(component_user: str | None, default_user: str | None) -> Identity:
    """Return the user of a component: its own, the nucleus's default, or the nucleus's user.

    Raises UserError; root is never chosen unless it was named.
    """
    if chosen := component_user or default_user:
        return resolve(chosen)
    if os.geteuid() == 0:
        raise UserError(
            "cannot choose a user to run as; set runWithDefault.posixUser in config/config.yaml"
        )
    return current()


def give(path: Path, owner: Identity) -> None:
    """Make a directory with all its content belong to a user, as far as it does not yet.

    Links are given, never followed, and every step goes through an open directory, so a program
    that moves links about meanwhile gains nothing. Without the right to do so (the nucleus is
    not root) the files stay its own, as is everything then.
    """
    if os.geteuid() != 0:
        return
    for _, directories, files, descriptor in os.fwalk(path, follow_symlinks=False):
        for name in (".", *directories, *files):
            with contextlib.suppress(FileNotFoundError):  # a program at work has removed it
                stat = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if (stat.st_uid, stat.st_gid) != (owner.uid, owner.gid):
                    os.chown(name, owner.uid, owner.gid, dir_fd=descriptor, follow_symlinks=False)


def _user(text: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(text)
    except KeyError:
        pass
    if not text.isdecimal():
        raise UserError(
            f"cannot run as {text}: there is no such user; create it, or correct posixUser"
        )
    return _by_id(int(text))


def _by_id(uid: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None


def _group(text: str) -> int:
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        if text.isdecimal():
            return int(text)
        raise UserError(
            f"cannot run with group {text}: there is no such group; create it, or correct posixUser"
        ) from None


def _identity(entry: pwd.struct_passwd | None, gid: int, uid: int) -> Identity:
    name = entry.pw_name if entry else str(uid)
    groups = tuple(os.getgrouplist(name, gid)) if entry else (gid,)
    return Identity(name, uid, gid, groups, entry.pw_dir if entry else "/")
