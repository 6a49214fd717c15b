"""Which file systems report every change to inotify, and which have to be asked.

inotify sees what this machine does. A mount whose files other machines change reports nothing of
that, so its directories are polled.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")

_REMOTE = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "pvfs2",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
    }
)
_LOCAL_FUSE = frozenset({"fuse.fuse-overlayfs", "fuse.mergerfs", "fuse.lxcfs"})
_ESCAPED = re.compile(r"\\([0-7]{3})")


def type_of(path: Path, mounts: Path = MOUNTS) -> str:
    """Return the type of the file system a path lies on, such as "ext4"; "" if unknown.

    Only the table of mounts is read: touching the path could hang with its server.
    """
    wanted = os.path.normpath(path)
    best, found = -1, ""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    for line in lines:
        before, separator, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if not separator or len(fields) < 5:
            continue
        point = _ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[4])
        inside = wanted == point or wanted.startswith(point.rstrip("/") + "/")
        # Of two mounts on one point the later one is in sight.
        if inside and len(point) >= best:
            best, found = len(point), kind[0]
    return found


def needs_polling(path: Path, mounts: Path = MOUNTS) -> bool:
    """Whether other machines may change the directory without inotify hearing of it."""
    kind = type_of(path, mounts)
    return kind in _REMOTE or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)
