"""Bring several paths of a device to what is wanted, in one execution."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: verge_paths
short_description: Directories, files and links of a device
description:
  - Brings paths to what is wanted, in the order given. A task for each would cost an execution
    each, and files two.
  - A file appears whole, with its owner and mode, or not at all.
options:
  paths:
    description: What is wanted.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where it is.
        type: path
        required: true
      state:
        description:
          - What is there. A directory's missing parents are made with mode 0755.
          - A C(file) without C(content) and C(source) must exist, and keeps its content.
          - C(absent) removes a directory with all that is in it.
        type: str
        choices: [directory, file, link, absent]
        default: file
      content:
        description: The text of a file.
        type: str
      source:
        description: A file of the device whose content a file has.
        type: path
      target:
        description: Where a link leads; nothing needs to be there.
        type: path
      owner:
        description: User it belongs to; without it nobody in particular.
        type: str
      group:
        description: Group it belongs to; without it none in particular.
        type: str
      mode:
        description: Its permissions, as C("0644"); without it any, and 0644 for a new file.
        type: str
author:
  - Verge
"""

EXAMPLES = r"""
- name: Ensure the service is configured
  verge_paths:
    paths:
      - path: /etc/service
        state: directory
        mode: "0700"
      - path: /etc/service/settings.yaml
        content: "{{ lookup('ansible.builtin.template', 'settings.yaml.j2') }}"
        mode: "0600"
"""

RETURN = r"""
changes:
  description: Paths that were or would be changed.
  returned: always
  type: list
  elements: str
"""

NEW_FILE_MODE = 0o644


class PathError(Exception):
    """A path cannot be brought to what is wanted; the message says which and why."""


class Item:
    """One path and what is wanted of it."""

    def __init__(self, wanted: Mapping[str, Any], *, check: bool) -> None:
        self.wanted = wanted
        self.path = Path(wanted["path"])
        self.check = check
        self.before: list[str] = []
        self.after: list[str] = []

    def change(self, before: str, after: str, action: Callable[[], Any]) -> None:
        """Note a difference and, unless this is a check, do away with it."""
        self.before.append(before)
        self.after.append(after)
        if not self.check:
            action()

    def apply(self) -> None:
        """Bring the path to what is wanted."""
        {
            "absent": self.remove,
            "link": self.keep_link,
            "directory": self.keep_directory,
            "file": self.keep_file,
        }[self.wanted.get("state") or "file"]()

    def remove(self) -> None:
        """Remove whatever is there."""
        if os.path.lexists(self.path):
            whole = self.path.is_dir() and not self.path.is_symlink()
            remove = shutil.rmtree if whole else os.unlink
            self.change("present\n", "absent\n", lambda: remove(self.path))

    def keep_link(self) -> None:
        """Let the link lead where it should; a former one is replaced at once."""
        target = self.wanted["target"]
        present = str(self.path.readlink()) if self.path.is_symlink() else ""
        self.refuse_others("link", present or not self.path.exists())
        if present != target:
            self.change(
                f"link to {present}\n" if present else "absent\n",
                f"link to {target}\n",
                lambda: self.replace(lambda new: new.symlink_to(target)),
            )

    def keep_directory(self) -> None:
        """Make the directory, and the ones above it, if need be."""
        self.refuse_others("directory", self.path.is_dir() or not os.path.lexists(self.path))
        if not self.path.is_dir():
            self.change("absent\n", "directory\n", lambda: self.path.mkdir(0o755, parents=True))
        self.keep_attributes()

    def keep_file(self) -> None:
        """Give the file its content and its attributes."""
        self.refuse_others("file", self.path.is_file() or not os.path.lexists(self.path))
        content = self.wanted_content()
        if content is None and not self.path.is_file() and not self.check:
            raise PathError(f"cannot keep {self.path}: there is no such file")
        former = self.path.read_bytes() if self.is_plain_file() else None
        if content not in (None, former):
            self.change(
                "absent\n" if former is None else former.decode(errors="replace"),
                content.decode(errors="replace"),
                lambda: self.replace(lambda new: self.write_new(new, content)),
            )
        self.keep_attributes()

    def refuse_others(self, kind: str, fits: object) -> None:
        """Leave alone what is of another kind than wanted."""
        if not fits:
            raise PathError(f"cannot make {self.path} a {kind}: something else is there")

    def is_plain_file(self) -> bool:
        """Say whether there is a file that is no link to one."""
        return self.path.is_file() and not self.path.is_symlink()

    def wanted_content(self) -> bytes | None:
        """Return what the file should hold; None where that is left to others."""
        if self.wanted.get("content") is not None:
            return str(self.wanted["content"]).encode()
        return Path(self.wanted["source"]).read_bytes() if self.wanted.get("source") else None

    def write_new(self, new: Path, content: bytes) -> None:
        """Write a file that nobody else can read before it is as wanted."""
        user, group, mode = self.wanted_attributes()
        if self.is_plain_file():
            former = self.path.stat()
            user = former.st_uid if user is None else user
            group = former.st_gid if group is None else group
            mode = stat.S_IMODE(former.st_mode) if mode is None else mode
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            os.fchown(file.fileno(), -1 if user is None else user, -1 if group is None else group)
            os.fchmod(file.fileno(), NEW_FILE_MODE if mode is None else mode)
            file.flush()
            os.fsync(file.fileno())

    def replace(self, make: Callable[[Path], Any]) -> None:
        """Put what `make` makes in the place of what is there."""
        new = self.path.with_name(f".{self.path.name}.{os.getpid()}.new")
        try:
            make(new)
            new.replace(self.path)
        finally:
            new.unlink(missing_ok=True)

    def wanted_attributes(self) -> tuple[int | None, int | None, int | None]:
        """Return user, group and mode; None for each that is left to others."""
        owner, group, mode = (self.wanted.get(key) for key in ("owner", "group", "mode"))
        return (
            self.look_up("user", owner, lambda: pwd.getpwnam(owner).pw_uid),
            self.look_up("group", group, lambda: grp.getgrnam(group).gr_gid),
            int(mode, 8) if mode else None,
        )

    def look_up(self, kind: str, name: str | None, ask: Callable[[], int]) -> int | None:
        """Return the number of a user or group; -1 where a check would find it made before."""
        if name is None:
            return None
        try:
            return ask()
        except KeyError:
            if self.check:
                return -1
            raise PathError(
                f"cannot give {self.path} to {kind} {name}: nobody has that name"
            ) from None

    def keep_attributes(self) -> None:
        """Correct owner, group and mode, where they are anybody's business."""
        if not self.path.exists():
            return
        found = self.path.stat()
        present = (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))
        wanted = tuple(
            old if new is None else new
            for old, new in zip(present, self.wanted_attributes(), strict=True)
        )
        if present != wanted:
            self.change(describe(present), describe(wanted), lambda: self.set_attributes(wanted))

    def set_attributes(self, wanted: tuple[int, int, int]) -> None:
        """Set owner, group and mode; the mode last, because a new owner may take bits of it."""
        os.chown(self.path, wanted[0], wanted[1])
        self.path.chmod(wanted[2])

    def diff(self) -> dict[str, str]:
        """Return the differences as Ansible shows them."""
        return {
            "before_header": str(self.path),
            "after_header": str(self.path),
            "before": "".join(self.before),
            "after": "".join(self.after),
        }


def describe(attributes: tuple[int, int, int]) -> str:
    """Return owner, group and mode as a line of a difference."""
    user, group, mode = attributes
    return f"owner {user}, group {group}, mode {mode:04o}\n"


def main() -> None:
    """Run as an Ansible module."""
    text = {"type": "str"}
    path = {"type": "path"}
    module = AnsibleModule(
        argument_spec={
            "paths": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {**path, "required": True},
                    "state": {
                        **text,
                        "choices": ["directory", "file", "link", "absent"],
                        "default": "file",
                    },
                    "content": text,
                    "source": path,
                    "target": path,
                    "owner": text,
                    "group": text,
                    "mode": text,
                },
                "mutually_exclusive": [("content", "source")],
                "required_if": [("state", "link", ("target",))],
            },
        },
        supports_check_mode=True,
    )
    items = [Item(wanted, check=module.check_mode) for wanted in module.params["paths"]]
    for item in items:
        try:
            item.apply()
        except (PathError, OSError, ValueError) as error:
            module.fail_json(msg=str(error))
    changed = [item for item in items if item.after]
    shown = {"diff": [item.diff() for item in changed]} if module._diff else {}
    module.exit_json(changed=bool(changed), changes=[str(item.path) for item in changed], **shown)


if __name__ == "__main__":
    main()
