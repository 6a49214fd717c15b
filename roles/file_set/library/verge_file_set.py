"""Compare a directory with the files it should hold, and remove what should not be there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: verge_file_set
short_description: Compare a directory with the files it should hold
description:
  - Says which files are missing or differ, by SHA-256, and which are too many.
  - Removes what is too many once nothing is missing, so that no moment has neither old nor new.
options:
  path:
    description: The directory.
    type: path
    required: true
  files:
    description: The files it should hold, relative to it, each with its SHA-256.
    type: list
    elements: dict
    required: true
    suboptions:
      file:
        description: Path of the file, relative to the directory.
        type: str
        required: true
      sha256:
        description: SHA-256 of its content, in hexadecimal digits.
        type: str
        required: true
author:
  - Verge
"""

EXAMPLES = r"""
- name: Compare the wheelhouse
  verge_file_set:
    path: /var/lib/verge/wheelhouse
    files:
      - file: manifest.json
        sha256: 44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
"""

RETURN = r"""
missing:
  description: Files that are absent or have another content.
  returned: always
  type: list
  elements: str
extra:
  description: Files that should not be there.
  returned: always
  type: list
  elements: str
"""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits, or "" where there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return ""


def compare(directory: Path, wanted: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the files that are missing or differ, and those that are too many, both sorted.

    `wanted` maps paths relative to `directory` to SHA-256 in hexadecimal digits.
    """
    present = {
        str(Path(parent, name).relative_to(directory))
        for parent, directories, names in os.walk(directory)
        # A link to a directory is listed as one, yet it is no part of the set either.
        for name in [*names, *(d for d in directories if Path(parent, d).is_symlink())]
    }
    missing = sorted(
        name
        for name, digest in wanted.items()
        if (directory / name).is_symlink() or sha256_of(directory / name) != digest.lower()
    )
    return missing, sorted(present - wanted.keys())


def remove(directory: Path, names: list[str]) -> None:
    """Remove files and the directories that are empty without them."""
    for name in names:
        (directory / name).unlink()
        for parent in (directory / name).parents:
            if parent == directory or any(parent.iterdir()):
                break
            parent.rmdir()


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "file": {"type": "str", "required": True},
                    "sha256": {"type": "str", "required": True},
                },
            },
        },
        supports_check_mode=True,
    )
    directory = Path(module.params["path"])
    wanted = {entry["file"]: entry["sha256"] for entry in module.params["files"]}
    missing, extra = compare(directory, wanted)
    if extra and not missing and not module.check_mode:
        remove(directory, extra)
    module.exit_json(changed=bool(missing or extra), missing=missing, extra=extra)


if __name__ == "__main__":
    main()
